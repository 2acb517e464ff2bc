"""Submitting over a kept connection, to a server that says what a test tells it to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from gateway.errors import (
    ConnectError,
    GatewayError,
    MessageRefusedError,
    MessageTooLargeError,
    OutcomeUnknownError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
)
from gateway.model.server import Security, Server
from gateway.provider import NOBODY, DeliveryNotification, Envelope, Login, Route
from gateway.smtp import SmtpConnection, Timeouts
from gateway.testing.context import FixedCredentials
from tests.rigs.certificates import Certificates
from tests.unit.smtp.smtp_sink import EXTENSIONS, HANG_UP, SmtpSink

pytestmark = pytest.mark.anyio
MESSAGE = b"From: a@x.test\r\nMessage-ID: <own@x.test>\r\nSubject: x\r\n\r\n.\r\n..two\r\nlast"
ENVELOPE = Envelope(mail_from="a@x.test", rcpt_to=("b@y.test", "c@z.test"))
_IMPATIENT = Timeouts(connect=0.5, command=0.5, message=0.5)


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    """A submission server without TLS."""
    async with SmtpSink() as server:
        yield server


def connection(sink: SmtpSink, credentials: FixedCredentials | None = None, **options: Any) -> SmtpConnection:
    """A connection to the sink, with a password unless told otherwise."""
    lent = credentials or FixedCredentials(Login(user="a@x.test", password="pä ss"))

    async def login(refused: Login | None) -> Login:
        return await lent.login("smtp", refused=refused)

    return SmtpConnection(sink.server, login, timeouts=_IMPATIENT, **options)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_message_arrives_octet_by_octet(sink: SmtpSink) -> None:
    """Dots are stuffed and removed, nothing else is touched except the missing last line end."""
    receipt = await connection(sink).submit(MESSAGE, ENVELOPE)
    assert sink.received == [(ENVELOPE, MESSAGE + b"\r\n")]
    assert receipt.response == "250 2.0.0 Ok: queued as 1"
    assert (receipt.message_id, receipt.refused) == (None, {})


async def test_connection_is_kept_and_left_with_quit(sink: SmtpSink) -> None:
    """TLS and login cost ten times the message."""
    sender = connection(sink, idle=0.05)
    await sender.submit(MESSAGE, ENVELOPE)
    await sender.submit(MESSAGE, ENVELOPE)
    assert sink.connections == 1
    await _until(lambda: sink.open == 0)
    assert sink.commands[-1] == b"QUIT"
    await sender.submit(MESSAGE, ENVELOPE)
    assert sink.connections == 2


async def test_nobody_logs_in_where_there_is_nothing_to_log_in_with(sink: SmtpSink) -> None:
    """Some servers know their clients by their addresses, and offer no AUTH."""
    await connection(sink, FixedCredentials(NOBODY)).submit(MESSAGE, ENVELOPE)
    assert sink.received
    assert not [command for command in sink.commands if command.startswith(b"AUTH")]


async def test_closed_connection_is_left_with_quit(sink: SmtpSink) -> None:
    """The server is not left waiting."""
    sender = connection(sink)
    await sender.check()
    await sender.close()
    await _until(lambda: sink.open == 0)
    assert sink.commands[-1] == b"QUIT"


@pytest.mark.parametrize("answer", [None, b"421 4.4.2 idle too long" + HANG_UP])
async def test_kept_connection_that_died_is_replaced(sink: SmtpSink, answer: bytes | None) -> None:
    """Servers hang up idle clients; nothing was sent yet, so nothing can be doubled."""
    sender = connection(sink)
    await sender.submit(MESSAGE, ENVELOPE)
    if answer is None:
        sink.hang_up()
    else:
        once = iter([answer])
        sink.answers[b"MAIL"] = lambda line: next(once, b"250 ok")
    await sender.submit(MESSAGE, ENVELOPE)
    assert len(sink.received) == 2
    assert sink.connections == 2


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (b"CONNECT", ConnectError),
        (b"EHLO", ConnectError),
        (b"AUTH", ConnectError),
        (b"MAIL", ConnectError),
        (b"RCPT", ConnectError),
        (b"DATA", ConnectError),
        (b".", OutcomeUnknownError),
    ],
)
@pytest.mark.parametrize("how", [HANG_UP, b""])
async def test_break_is_harmless_until_the_final_dot(
    sink: SmtpSink, command: bytes, expected: type[GatewayError], how: bytes
) -> None:
    """Before it the message is tried again, after it somebody has to find out; hanging up and silence are alike."""
    sink.answers[command] = how
    with pytest.raises(GatewayError) as caught:
        await connection(sink).submit(MESSAGE, ENVELOPE)
    assert type(caught.value) is expected


async def test_break_within_a_large_message_is_harmless(sink: SmtpSink) -> None:
    """The final dot had not left; a server that stops reading cannot have accepted the message."""
    sink.answers[b"DATA"] = b"354 go ahead" + HANG_UP
    large = b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 8_000
    with pytest.raises(ConnectError):
        await connection(sink).submit(large, ENVELOPE)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({b"AUTH": b"535 5.7.8 wrong"}, ReauthorizationError),
        ({b"AUTH": b"454 4.7.0 later"}, ServiceUnavailableError),
        ({b"MAIL": b"553 5.7.1 <a@x.test>: not owned"}, MessageRefusedError),
        ({b"MAIL": b"451 4.3.0 later"}, ServiceUnavailableError),
        ({b"RCPT": b"550 5.1.1 no such user"}, MessageRefusedError),
        ({b"RCPT": b"450 4.2.0 greylisted"}, ServiceUnavailableError),
        ({b"DATA": b"554 5.5.1 no valid recipients"}, MessageRefusedError),
        ({b".": b"554 5.2.252 SendAsDenied; a@x.test not allowed"}, MessageRefusedError),
        ({b".": b"432 4.3.2 Concurrent connections limit exceeded"}, RateLimitError),
    ],
)
async def test_refusals_leave_the_connection_usable(
    sink: SmtpSink, answers: dict[bytes, bytes], expected: type[GatewayError]
) -> None:
    """The next message has nothing to do with this one."""
    sink.answers.update(answers)
    sender = connection(sink)
    with pytest.raises(expected) as caught:
        await sender.submit(MESSAGE, ENVELOPE)
    assert "a@x.test" not in str(caught.value)
    sink.answers.clear()
    await sender.submit(MESSAGE, ENVELOPE)
    assert len(sink.received) == 1


async def test_refusal_of_some_recipients_is_told(sink: SmtpSink) -> None:
    """The others have the message."""
    sink.refused.add("b@y.test")
    receipt = await connection(sink).submit(MESSAGE, ENVELOPE)
    assert receipt.refused == {"b@y.test": "550 5.1.1 <…>: no such user"}
    assert sink.received[0][0].rcpt_to == ("c@z.test",)


async def test_message_over_the_announced_size_is_not_sent(sink: SmtpSink) -> None:
    """RFC 1870: the server said before what it takes."""
    with pytest.raises(MessageTooLargeError):
        await connection(sink).submit(MESSAGE + b"x" * 100_000, ENVELOPE)
    assert not [line for line in sink.commands if line.startswith(b"MAIL")]


@pytest.mark.parametrize(
    ("message", "sender", "options"),
    [
        (MESSAGE, "a@x.test", set()),
        (MESSAGE + "ü".encode(), "a@x.test", {b"BODY=8BITMIME"}),
        ("Subject: ü\r\n\r\nx".encode(), "a@x.test", {b"BODY=8BITMIME", b"SMTPUTF8"}),
        (MESSAGE, "ä@x.test", {b"SMTPUTF8"}),
        (MESSAGE, "a@ä.test", set()),
    ],
)
async def test_extensions_are_used_when_they_are_needed(
    sink: SmtpSink, message: bytes, sender: str, options: set[bytes]
) -> None:
    """RFC 6152 and RFC 6531; a domain can be written in ASCII (RFC 5890)."""
    await connection(sink).submit(message, Envelope(mail_from=sender, rcpt_to=("b@y.test",)))
    (mail,) = [line for line in sink.commands if line.startswith(b"MAIL")]
    assert {word for word in mail.split(b" ")[1:] if not word.lower().startswith((b"from:", b"size="))} == options
    assert b"size=%d" % (len(message) + 2) in mail
    assert (b"a@xn--4ca.test" in mail) is (sender == "a@ä.test")


WISHES = DeliveryNotification(
    full=False, envelope_id="order 7+a=b", notify=("success", "delay"), original_recipient="a=b@example.org"
)


@pytest.mark.parametrize("offered", [True, False], ids=["offered", "not-offered"])
async def test_delivery_notifications_are_asked_for_where_there_are_any(offered: bool) -> None:
    """In the alphabet of RFC 3461; elsewhere the message is sent without."""
    extensions = (*EXTENSIONS, b"DSN") if offered else EXTENSIONS
    async with SmtpSink(extensions=extensions) as sink:
        await connection(sink).submit(MESSAGE, msgspec.structs.replace(ENVELOPE, dsn=WISHES))
        (mail,) = [command for command in sink.commands if command.startswith(b"MAIL")]
        rcpt = [command for command in sink.commands if command.startswith(b"RCPT")]
    assert (b" RET=HDRS ENVID=order+207+2Ba+3Db" in mail) == offered
    asked = [b"NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+3Db@example.org" in command for command in rcpt]
    assert asked == [offered] * 2
    assert len(sink.received) == 1


async def test_address_that_needs_an_extension_the_server_lacks_is_refused() -> None:
    """No amount of trying again brings the extension."""
    async with SmtpSink(extensions=(b"AUTH PLAIN",)) as sink:
        with pytest.raises(MessageRefusedError):
            await connection(sink).submit(MESSAGE, Envelope(mail_from="ä@x.test", rcpt_to=("b@y.test",)))


@pytest.mark.parametrize("address", ["b@y.test>\r\nRCPT TO:<d@y.test", "b @y.test", "b@y.test> SIZE=1"])
async def test_address_cannot_smuggle_a_command(sink: SmtpSink, address: str) -> None:
    """Recipients come from callers of the API."""
    with pytest.raises(MessageRefusedError):
        await connection(sink).submit(MESSAGE, Envelope(mail_from="a@x.test", rcpt_to=(address,)))
    assert not [line for line in sink.commands if line.startswith(b"RCPT")]


@pytest.mark.parametrize(
    ("answer", "message_id"),
    [
        (b"250 2.0.0 OK <new@prod.outlook.test> [Hostname=X.prod.test]", "<new@prod.outlook.test>"),
        (b"250 2.0.0 OK <own@x.test> [Hostname=X.prod.test]", None),
        (b"250 2.0.0 Ok: queued as 4711", None),
    ],
)
async def test_rewritten_message_id_is_told(sink: SmtpSink, answer: bytes, message_id: str | None) -> None:
    """Replies will refer to the id that the service gave, not to ours."""
    sink.answers[b"."] = answer
    assert (await connection(sink).submit(MESSAGE, ENVELOPE)).message_id == message_id


async def test_refused_token_is_renewed_once(sink: SmtpSink) -> None:
    """Postfix explains the refusal first and wants an empty line; Exchange refuses at once. Both end the same way."""
    new = base64.b64encode(b"user=s@x.test\1auth=Bearer new\1\1")
    sink.answers[b"AUTH XOAUTH2"] = lambda line: b"235 ok" if line.endswith(new) else b"334 eyJ9"
    sink.answers[b"AUTH-RESPONSE"] = b"535 5.7.8 expired"
    credentials = FixedCredentials(
        Login(user="a@x.test", access_token="old"), renewed=Login(user="a@x.test", access_token="new")
    )
    await connection(sink, credentials, user="s@x.test").check()
    assert [login.access_token for login in credentials.refused] == ["old"]
    assert b"" in sink.commands


async def test_token_refused_twice_needs_a_person(sink: SmtpSink) -> None:
    """A third time would only lock the account."""
    sink.answers[b"AUTH"] = b"535 5.7.3 Authentication unsuccessful"
    credentials = FixedCredentials(
        Login(user="a@x.test", access_token="old"), renewed=Login(user="a@x.test", access_token="new")
    )
    with pytest.raises(ReauthorizationError):
        await connection(sink, credentials).check()
    assert len([line for line in sink.commands if line.startswith(b"AUTH")]) == 2


async def test_password_is_sent_once_by_one_mechanism(sink: SmtpSink) -> None:
    """Trying each mechanism would count as several failures."""
    sink.answers[b"AUTH"] = b"535 5.7.8 wrong"
    with pytest.raises(ReauthorizationError):
        await connection(sink).check()
    (auth,) = [line for line in sink.commands if line.startswith(b"AUTH")]
    assert base64.b64decode(auth.split(b" ")[2]) == "\0a@x.test\0pä ss".encode()


async def test_server_without_a_login_that_fits_says_so() -> None:
    """An access token is not a password."""
    async with SmtpSink(extensions=(b"AUTH PLAIN",)) as sink:
        with pytest.raises(ReauthorizationError):
            await connection(sink, FixedCredentials(Login(user="a", access_token="t"))).check()


async def test_submission_without_login(sink: SmtpSink) -> None:
    """A relay that knows its clients by their address."""
    await SmtpConnection(sink.server, None, timeouts=_IMPATIENT).submit(MESSAGE, ENVELOPE)
    assert not [line for line in sink.commands if line.startswith(b"AUTH")]


async def test_greeting_names_the_own_address_or_what_was_configured(sink: SmtpSink) -> None:
    """RFC 5321 section 4.1.3: an address literal when there is no better name."""
    await connection(sink).check()
    await connection(sink, route=Route(ehlo_name="gw.test")).check()
    greetings = [line for line in sink.commands if line.startswith(b"EHLO")]
    assert greetings in ([b"EHLO [127.0.0.1]", b"EHLO gw.test"], [b"EHLO [IPv6:::1]", b"EHLO gw.test"])


async def test_cancelled_submission_does_not_leave_its_answer_to_the_next(sink: SmtpSink) -> None:
    """A caller's time is up while the server thinks."""
    sink.answers[b"MAIL"] = b""
    sender = connection(sink)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await sender.submit(MESSAGE, ENVELOPE)
    sink.answers.clear()
    await sender.submit(MESSAGE, ENVELOPE)
    assert len(sink.received) == 1
    assert sink.connections == 2


async def test_check_notices_a_dead_connection(sink: SmtpSink) -> None:
    """A kept connection proves nothing by being there."""
    sender = connection(sink)
    await sender.check()
    sink.hang_up()
    await sender.check()
    assert sink.connections == 2


@pytest.mark.parametrize("security", ["tls", "starttls", "opportunistic"])
async def test_connection_is_encrypted_before_the_login(certificates: Certificates, security: Security) -> None:
    """And the capabilities from before STARTTLS do not count (RFC 3207 section 4.2)."""
    async with SmtpSink(security=security, tls=certificates.server_context()) as sink:
        await _tls_check(sink, certificates, lambda sender: sender.submit(MESSAGE, ENVELOPE))
        assert len(sink.received) == 1
        if security != "tls":
            assert sink.commands[1] == b"STARTTLS"


async def _tls_check(
    sink: SmtpSink, certificates: Certificates | None, call: Callable[[SmtpConnection], Awaitable[object]]
) -> None:
    server = msgspec.structs.replace(sink.server, ca_file=certificates.authority if certificates else None)

    async def login(refused: Login | None) -> Login:
        return Login(user="a@x.test", password="pw")

    await call(SmtpConnection(server, login, timeouts=_IMPATIENT))


@pytest.mark.parametrize("security", ["tls", "starttls", "opportunistic"])
async def test_unknown_authority_is_not_trusted(certificates: Certificates, security: Security) -> None:
    """Neither is the password sent: opportunistic encryption does not mean to go on in the clear."""
    async with SmtpSink(security=security, tls=certificates.server_context()) as sink:
        with pytest.raises(ConnectError) as caught:
            await _tls_check(sink, None, lambda sender: sender.check())
        assert caught.value.native_code == "CERTIFICATE"
        assert not [line for line in sink.commands if line.startswith(b"AUTH")]


async def test_missing_starttls_is_refused_when_required() -> None:
    """A man in the middle could have taken it away."""
    async with SmtpSink(security="starttls") as sink:
        with pytest.raises(ConnectError):
            await _tls_check(sink, None, lambda sender: sender.check())
        assert not [line for line in sink.commands if line.startswith(b"AUTH")]


async def test_opportunistic_encryption_does_without() -> None:
    """A relay on the same machine may offer none."""
    async with SmtpSink(security="opportunistic", extensions=EXTENSIONS) as sink:
        await _tls_check(sink, None, lambda sender: sender.submit(MESSAGE, ENVELOPE))
        assert len(sink.received) == 1


async def test_unreachable_server_is_a_connect_error() -> None:
    """Nobody listens there; clients know the code, and the hosted form has words for it."""
    async with SmtpSink() as sink:
        sender = connection(sink)
    with pytest.raises(ConnectError) as caught:
        await sender.check()
    assert caught.value.native_code == "ECONNREFUSED"


async def test_tls_with_a_server_that_speaks_plainly_is_named() -> None:
    """The usual mistake: `secure` with the port for STARTTLS."""
    async with SmtpSink() as sink:
        server = msgspec.structs.replace(sink.server, security="tls")
        with pytest.raises(ConnectError) as caught:
            await SmtpConnection(server, _nobody, timeouts=_IMPATIENT).check()
    assert caught.value.native_code == "ETLS"


async def test_a_server_name_that_does_not_exist_is_named() -> None:
    """A typo in the host name is no fault of the network (RFC 6761 section 6.4: the name never exists)."""
    server = Server(host="mail.invalid", port=25, security="opportunistic")
    with pytest.raises(ConnectError) as caught:
        await SmtpConnection(server, _nobody, timeouts=_IMPATIENT).check()
    assert caught.value.native_code in ("ENOTFOUND", "EAI_AGAIN")


async def _nobody(refused: Login | None) -> Login:
    return Login(user="")
