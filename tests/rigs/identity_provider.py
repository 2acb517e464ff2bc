"""A certified OpenID provider that looks like Entra ID, and a browser without a screen to sign in with."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import httpx

from tests.rigs.certificates import Certificates
from tests.rigs.issuer import CLIENT_ID, TokenIssuer
from tests.rigs.ports import reserve_port
from tests.rigs.processes import ServerProcess, accepts_connections

CLIENT_SECRET = "rig-client-secret"
_SOURCE = Path(__file__).parent / "idp"
_CACHE = Path(__file__).parents[2] / ".cache" / "identity-provider"


class IdentityProvider:
    """Authorization code with PKCE, refresh tokens that rotate, client credentials; `authority` is the tenant `common`.

    Stricter than Entra ID in two points: a refresh token used twice ends the whole grant, and one cannot be redeemed
    for another resource than it was issued for.
    """

    def __init__(
        self, directory: Path, certificates: Certificates, issuer: TokenIssuer, *, lifetime: int = 3600
    ) -> None:
        """Write the configuration to `directory`; access tokens live `lifetime` seconds."""
        self.authority = issuer.url
        self.origin = f"https://localhost:{issuer.port}"
        self.certificates = certificates
        self._control_port = reserve_port()
        self._ports = (issuer.port, self._control_port)
        for source in _SOURCE.glob("*.mjs"):
            shutil.copy(source, directory)
        shutil.copy(_SOURCE / "package.json", directory)
        (directory / "node_modules").symlink_to(install_packages(_CACHE))
        config = {
            "port": issuer.port,
            "control_port": self._control_port,
            "certificate": str(certificates.chain),
            "key": str(certificates.key),
            "jwk": issuer.private_jwk,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "default_user": "alice@contoso.test",
            "lifetime": lifetime,
        }
        (directory / "config.json").write_text(json.dumps(config))
        command = ["node", str(directory / "server.mjs"), str(directory / "config.json")]
        self._process = ServerProcess(command, directory / "server.log")

    def start(self) -> None:
        """Start and wait until both ports answer."""
        self._process.start(lambda: all(accepts_connections(port) for port in self._ports))

    def stop(self) -> None:
        """End the server; grants and sessions are gone."""
        self._process.kill()

    def sign_in(self, authorization_url: str, user: str) -> str:
        """Sign `user` in, consent, and return the URL that a browser would be sent back to.

        Raises:
            RuntimeError: the provider showed an error page instead of sending the browser back.
        """
        parts = urlsplit(authorization_url)
        query = dict(parse_qsl(parts.query)) | {"login_hint": user}
        url = urlunsplit(parts._replace(query=urlencode(query)))
        with httpx.Client(verify=self.certificates.client_context(), trust_env=False) as browser:
            for _ in range(12):
                answer = browser.get(url)
                if not answer.is_redirect:
                    raise RuntimeError(f"the sign-in ended on a page: {answer.status_code} {answer.text[:300]}")
                url = urljoin(url, answer.headers["location"])
                if not url.startswith(f"{self.origin}/"):
                    return url
        raise RuntimeError("the sign-in goes in circles")

    def decline(self, authorization_url: str) -> str:
        """Refuse consent and return the URL that a browser would be sent back to."""
        return self.sign_in(authorization_url, "deny@contoso.test")

    def set_lifetime(self, seconds: int) -> None:
        """Let access tokens issued from now on live `seconds`."""
        self._control("lifetime", {"seconds": seconds})

    def revoke(self, user: str) -> int:
        """Withdraw everything that `user` granted; the number of refresh tokens that ended by it."""
        return int(self._control("revoke", {"user": user})["refresh_tokens"])

    def fail(self, *, error: str, code: int, status: int = 400, times: int = 1, retry_after: int | None = None) -> None:
        """Answer the next `times` token requests with an OAuth2 `error` and the number that follows AADSTS."""
        failure = {"error": error, "code": code, "status": status, "times": times, "retry_after": retry_after}
        self._control("failures", failure)

    def statistics(self) -> dict[str, Any]:
        """Token requests so far, answered or refused: codes, refreshes, client_credentials; and how many were refused.

        `refreshed_by_user` counts successful refreshes for each address.
        """
        return self._control("statistics")

    def reset(self) -> None:
        """Forget failures that were not used up, and all counts."""
        self._control("reset", {})

    def _control(self, action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._control_port}/{action}"
        with httpx.Client(trust_env=False) as client:
            answer = client.get(url) if body is None else client.post(url, json=body)
        answer.raise_for_status()
        return dict(answer.json())


def install_packages(cache: Path) -> Path:
    """The folder `node_modules` with what package.json names, installed unless an earlier run did it.

    Versions are exact, so no lock file is needed; install scripts never run.
    """
    manifest = _SOURCE / "package.json"
    folder = cache / hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if not done.exists():
            shutil.copy(manifest, folder)
            npm = ["npm", "install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]
            subprocess.run(npm, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
            done.touch()
    return folder / "node_modules"
