"""A lab of real servers: Dovecot, Postfix and the certified identity provider."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.rigs.certificates import issue_certificates
from tests.rigs.dovecot import TOKEN_USERS, Dovecot
from tests.rigs.exchange_front import ExchangeFront
from tests.rigs.identity_provider import CLIENT_SECRET, IdentityProvider
from tests.rigs.introspection import IntrospectionEndpoint
from tests.rigs.issuer import CLIENT_ID, MAIL_RESOURCE, TokenIssuer
from tests.rigs.loop_thread import LoopThread
from tests.rigs.ports import reserve_port
from tests.rigs.postfix import Postfix
from tests.rigs.processes import rig_directory
from tests.rigs.requirement import require

Personality = Literal["full", "exchange"]


@dataclass
class RealLab:
    """See `tests.rigs.labs.Lab`. The Exchange personality also files submitted mail under Sent Items by itself."""

    personality: Personality
    identity_provider: IdentityProvider
    introspection: IntrospectionEndpoint
    dovecot: Dovecot
    postfix: Postfix
    front: ExchangeFront | None
    loop: LoopThread
    users: tuple[str, ...] = TOKEN_USERS

    @property
    def name(self) -> str:
        return f"real-{self.personality}"

    def clouds_entry(self) -> dict[str, Any]:
        host, port = self.front.address if self.front else ("localhost", self.dovecot.ports.imaps)
        return {
            "login": self.identity_provider.origin,
            "imap": {"host": host, "port": port, "security": "tls"},
            "smtp": {"host": "localhost", "port": self.postfix.submission_port, "security": "starttls"},
            "graph": f"{self.identity_provider.origin}/graph",  # answers 404: these servers have no Graph
            "scope_host": MAIL_RESOURCE,
            "ca_file": str(self.identity_provider.certificates.authority),
            "instance_discovery": False,
        }

    def app_fields(self) -> dict[str, str]:
        return {
            "clientId": CLIENT_ID,
            "clientSecret": CLIENT_SECRET,
            "authority": "common",
            "cloud": f"lab-{self.personality}",
        }

    def sign_in(self, authorization_url: str, user: str) -> str:
        return self.identity_provider.sign_in(authorization_url, user)

    def decline(self, authorization_url: str, user: str) -> str:
        return self.identity_provider.decline(authorization_url)

    def deliver(self, user: str, raw: bytes) -> None:
        self.dovecot.deliver(user, raw)

    def expire_access_tokens(self, user: str) -> None:
        self.introspection.end_user(user)
        self._end_sessions(user)

    def revoke(self, user: str) -> None:
        self.identity_provider.revoke(user)
        self.introspection.end_user(user)
        self._end_sessions(user)

    def refresh_count(self) -> int:
        return int(self.identity_provider.statistics()["refreshes"])

    def _end_sessions(self, user: str) -> None:
        if self.front is not None:
            self.loop.run(self.front.end_sessions(user))
        self.dovecot.kick(user)


@contextlib.contextmanager
def open_real_lab(personality: Personality) -> Iterator[RealLab]:
    """Start the servers, and end them all whatever happens in between."""
    for name in ("dovecot", "postfix", "node"):
        require(name)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(rig_directory(f"lab-{personality}"))
        for part in ("tls", "dovecot", "postfix", "idp"):
            (directory / part).mkdir()
        certificates = issue_certificates(directory / "tls")
        issuer = TokenIssuer()
        introspection = stack.enter_context(IntrospectionEndpoint(issuer))
        loop = stack.enter_context(LoopThread())
        dovecot = Dovecot(directory / "dovecot", certificates, issuer, introspection=introspection.url)
        postfix = Postfix(directory / "postfix", certificates, dovecot, keep_sent=personality == "exchange")
        identity_provider = IdentityProvider(directory / "idp", certificates, issuer)
        for server in (dovecot, postfix, identity_provider):
            stack.callback(server.stop)
            server.start()
        front = None
        if personality == "exchange":
            front = ExchangeFront(
                dovecot.exchange, certificates.client_context(), certificates.server_context(), reserve_port()
            )
            loop.run(front.__aenter__())
            stack.callback(lambda: loop.run(front.__aexit__(None, None, None)))
        yield RealLab(personality, identity_provider, introspection, dovecot, postfix, front, loop)
