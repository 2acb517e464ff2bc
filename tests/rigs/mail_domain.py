"""A domain that signs its mail: its key, and the records that say so."""

from __future__ import annotations

import base64
import hashlib
import subprocess

import dkim

from tests.rigs.name_server import NameServer

SELECTOR = "s1"

LETTER = (
    b"From: Ann <ann@example.test>\r\nTo: somebody@receiver.test\r\nSubject: hello\r\n"
    b"Date: Fri, 27 Nov 2026 02:00:00 +0000\r\nMessage-ID: <1@example.test>\r\n\r\nhello\r\n"
)


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True, timeout=60).stdout


class MailDomain:
    """A domain with a key of its own; nothing is published of it but what a test asks for."""

    def __init__(self, name: str, names: NameServer, bits: int = 1024) -> None:
        self.name = name
        self._names = names
        # Libraries make no key that is too short any more, the program does.
        self._private = _openssl("genrsa", "-traditional", str(bits))
        self._public = _openssl("rsa", "-pubout", "-outform", "DER", given=self._private)

    def publish_key(self) -> None:
        """Publish the public key under the selector."""
        self.publish(f"{SELECTOR}._domainkey", f"v=DKIM1; k=rsa; p={base64.b64encode(self._public).decode()}")

    def publish_spf(self, policy: str) -> None:
        """Publish who may send."""
        self.publish("", f"v=spf1 {policy}")

    def publish_dmarc(self, tags: str) -> None:
        """Publish what is to happen with mail that does not pass."""
        self.publish("_dmarc", f"v=DMARC1; {tags}")

    def publish(self, prefix: str, *texts: str) -> None:
        """Publish TXT records, each in strings of 255 octets at most."""
        pieces = [" ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200)) for text in texts]
        self._names.add(f"{prefix}.{self.name}".lstrip("."), "TXT", *pieces)

    def sign(self, message: bytes = LETTER, **options: object) -> bytes:
        """Return the message with a DKIM signature."""
        return bytes(dkim.sign(message, SELECTOR.encode(), self.name.encode(), self._private, **options)) + message

    def sign_without_author(self, message: bytes = LETTER) -> bytes:
        """Return the message with a DKIM signature that leaves From open, which the library makes for nobody."""
        signer = dkim.DKIM(message)
        signer.hasher = hashlib.sha256
        policy = dkim.CanonicalizationPolicy.from_c_value(b"simple/simple")
        body = base64.b64encode(hashlib.sha256(policy.canonicalize_body(signer.body)).digest())
        tags = {"v": "1", "a": "rsa-sha256", "c": "simple/simple", "d": self.name, "s": SELECTOR, "h": "subject"}
        fields = [(name.encode(), value.encode()) for name, value in tags.items()]
        fields += [(b"bh", body), (b"b", b"0" * 60)]
        key = dkim.parse_pem_private_key(self._private)
        return b"DKIM-Signature: " + signer.gen_header(fields, [b"subject"], policy, b"DKIM-Signature", key) + message

    def seal(self, message: bytes, results: str = "spf=pass smtp.mailfrom=ann@example.test") -> bytes:
        """Return the message with a set of ARC, as a host that passes it on adds it."""
        told = f"Authentication-Results: {self.name}; {results}\r\n".encode() + message
        name = self.name.encode()
        return b"".join(dkim.arc_sign(told, SELECTOR.encode(), name, self._private, name)) + told
