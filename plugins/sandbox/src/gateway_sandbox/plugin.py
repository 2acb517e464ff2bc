"""The sandbox as the gateway sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from gateway.provider import Sandbox, SandboxInfo
from gateway_sandbox import clouds, directory


class MicrosoftSandbox(Sandbox):
    """Microsoft 365 with one tenant, a few people and one registered app."""

    name: ClassVar[str] = "microsoft"
    app: ClassVar[Mapping[str, str]] = MappingProxyType(directory.registered_app())
    users: ClassVar[tuple[str, ...]] = tuple(person.address for person in directory.sign_in_choices())

    def running(self, data_dir: Path) -> AbstractAsyncContextManager[SandboxInfo]:
        """Serve until the context is left, and keep its entry in the clouds file true.

        Raises:
            gateway.errors.ConfigurationError: another process serves this data directory, or its clouds file is
                not a JSON object.
        """
        return _running(data_dir)


@asynccontextmanager
async def _running(data_dir: Path) -> AsyncIterator[SandboxInfo]:
    # Here and not above: the servers cost 25 MB, and every process of the gateway imports its plugins.
    from gateway_sandbox.server import running  # noqa: PLC0415

    async with running(data_dir) as endpoints:
        clouds.write_entry(data_dir / clouds.FILE_NAME, directory.CLOUD, clouds.entry(endpoints))
        yield SandboxInfo(
            control_url=f"{endpoints.origin}/sandbox",
            ca_file=endpoints.ca_file,
            other_mailboxes=tuple(_other_mailboxes(endpoints)),
        )


def _other_mailboxes(endpoints: clouds.Endpoints) -> Iterator[str]:
    servers = f"IMAP localhost:{endpoints.imap_port} (TLS), SMTP localhost:{endpoints.smtp_port} (STARTTLS)"
    for person in directory.PEOPLE:
        if person.shared:
            yield f"{person.address}, shared; {', '.join(sorted(person.delegates))} may open it"
        if person.password is not None:
            yield f"{person.address}, password {person.password}; {servers}"
