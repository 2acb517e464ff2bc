"""The receiver of delivery tests behind a real mail server, which signs nothing and passes on what is signed."""

from __future__ import annotations

import smtplib

import anyio
import pytest

from tests.integration.inbound.test_inbound import receiving
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import Dovecot
from tests.rigs.issuer import TokenIssuer
from tests.rigs.mail_domain import LETTER, MailDomain
from tests.rigs.postfix import Postfix
from tests.rigs.processes import rig_directory
from tests.rigs.requirement import require

pytestmark = pytest.mark.anyio

ALICE = "alice@contoso.test"


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_message_that_comes_through_postfix_passes_every_check(
    redis_url: str, certificates: Certificates, dovecot: Dovecot, token_issuer: TokenIssuer, encrypted: bool
) -> None:
    """Over TLS where it is offered, and its signature is as good as before."""
    require("postfix")
    files = {"smtp_cert_file": certificates.chain, "smtp_key_file": certificates.key} if encrypted else {}
    async with receiving(redis_url, **files) as reception:
        domain = MailDomain("contoso.test", reception.names)
        domain.publish_key()
        domain.publish_spf("ip4:127.0.0.1 -all")
        domain.publish_dmarc("p=reject; adkim=s; aspf=s")
        id, address = await reception.start()
        letter = domain.sign(LETTER.replace(b"ann@example.test", ALICE.encode()))

        def submit(port: int) -> None:
            with smtplib.SMTP("localhost", port) as client:
                client.starttls(context=certificates.client_context())
                login = f"user={ALICE}\x01auth=Bearer {token_issuer.mint(ALICE)}\x01\x01"
                client.auth("XOAUTH2", lambda _=None: login)
                client.sendmail(ALICE, [address], letter)

        with rig_directory("postfix") as directory:
            postfix = Postfix(directory, certificates, dovecot, outside=reception.settings.inbound_port)
            await anyio.to_thread.run_sync(postfix.start)
            try:
                await anyio.to_thread.run_sync(submit, postfix.submission_port)
                with anyio.fail_after(30):
                    while (await reception.told(id)).status == "pending":
                        await anyio.sleep(0.05)
            except TimeoutError:
                pytest.fail(postfix.log_tail())
            finally:
                await anyio.to_thread.run_sync(postfix.stop)
        told = await reception.told(id)
    assert told.spf is not None and told.dmarc is not None and told.main_sig is not None
    assert [one.status.result for one in (told.spf, told.main_sig, told.dmarc)] == ["pass"] * 3
    assert (told.spf.helo, told.spf.envelope_from) == ("smtp.contoso.test", ALICE)
