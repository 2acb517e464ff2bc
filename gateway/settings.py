"""Process settings: read once from the environment, checked as a whole, secrets masked.

Every name starts with ``GATEWAY_``; one that is not known is an error, because a setting that is silently ignored
looks like one that works. Settings that change at run time are in Redis and belong to the API (``/v1/settings``).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import ConfigurationError

PREFIX = "GATEWAY_"

_TOKEN = re.compile("[0-9a-f]{64}")

#: RFC 1123 section 2.1, with two labels at least.
_DOMAIN = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

#: Read by tests only; they are not settings of a process.
_FOREIGN = frozenset({"GATEWAY_TEST_REQUIRE"})

#: Mebibytes that a worker needs before it has read any mail, with some to spare.
LEAST_WORKER_MEMORY = 1024
#: Octets of a request body that carries mail, where nothing is said.
MAIL_BODY_LIMIT = 50 * 1024 * 1024

LOG_LEVELS = ("debug", "info", "warning", "error")


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """Where outbound HTTP may go, and connections to proxies: to public addresses, and to these.

    Attributes:
        private: loopback and private networks, too.
        networks: whatever they are.
    """

    private: bool = False
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs to know before it can talk to Redis.

    Attributes:
        redis_url: the data tier (``redis://``, ``rediss://``, ``unix://``).
        broker_url: the control tier with RQ; by default the same server.
        secret_keys: AES-256 keys, newest first; the first one encrypts, all of them decrypt.
        service_url: the address under which users and clients reach the gateway.
        runtime_settings: members of ``POST /v1/settings`` that are applied at every start.
        prepared_token: the value of an API token that always exists.
        data_dir: the directory of this installation's own files.
        max_body_size: octets that the body of a request may have which carries mail.
        egress: the addresses that outbound HTTP may connect to, and at which proxies may be.
        worker_memory: mebibytes that a worker may reserve, 0 for no limit.
        smtp_host, smtp_port: where ``gateway smtp`` listens; STARTTLS is required if there is a certificate.
        smtp_tls_port: where it listens with TLS from the beginning; 0 for nowhere.
        smtp_cert_file, smtp_key_file: its certificate with what signed it, and the key, in PEM.
        smtp_max_size: octets that a message may have.
        delivery_test_domain: the domain of the addresses that delivery tests write to, in lower case.
        inbound_host, inbound_port: where ``gateway inbound`` takes their mail.
        inbound_resolver: address and port of the name server that it asks; by default those of the system.
    """

    redis_url: str = "redis://127.0.0.1:6379/0"
    broker_url: str | None = None
    secret_keys: tuple[bytes, ...] = ()
    host: str = "127.0.0.1"
    port: int = 3000
    service_url: str | None = None
    runtime_settings: dict[str, Any] = msgspec.field(default_factory=dict)
    prepared_token: str | None = None
    log_level: str = "info"
    data_dir: Path | None = None
    max_body_size: int = MAIL_BODY_LIMIT
    egress: Egress = Egress()
    worker_memory: int = 4096
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 2525
    smtp_tls_port: int = 0
    smtp_cert_file: Path | None = None
    smtp_key_file: Path | None = None
    smtp_max_size: int = 25 * 1024 * 1024
    delivery_test_domain: str | None = None
    inbound_host: str = "127.0.0.1"
    inbound_port: int = 2526
    inbound_resolver: tuple[str, int] | None = None

    def __repr__(self) -> str:
        return f"Settings(host={self.host!r}, port={self.port}, data_dir={self.data_dir!r})"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: with every problem found, one to a line; values are never repeated.
    """
    settings, problems = examine_settings(environment)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return settings


def examine_settings(environment: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read what can be read, and return it with a sentence for each thing that is wrong."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX) or name in _FOREIGN:
            continue
        reader = _READERS.get(name)
        if reader is None:
            problems.append(f"{name} is not a setting; known are {', '.join(sorted(_READERS))}")
            continue
        field, convert = reader
        try:
            values[field] = convert(value)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    return Settings(**values), problems


def _url(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must start with redis://, rediss:// or unix://")
    return value


def _origin(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return value.rstrip("/")


def _port(value: str) -> int:
    if not value.isdigit() or not 0 <= int(value) <= 65535:
        raise ValueError("must be a port number")
    return int(value)


def _mebibytes(value: str) -> int:
    if not value.isdigit() or 0 < int(value) < LEAST_WORKER_MEMORY:
        raise ValueError(f"must be a number of MiB, {LEAST_WORKER_MEMORY} or more, or 0 for no limit")
    return int(value)


def _octets(value: str) -> int:
    if not value.isdigit() or int(value) < 1024:
        raise ValueError("must be a number of octets, 1024 or more")
    return int(value)


def decode_key(value: str) -> bytes:
    """Return an AES-256 key given as 64 hex digits or as base64.

    Raises:
        ValueError: it is neither.
    """
    text = value.strip()
    if len(text) == 64:
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ValueError("each key must be 32 octets, as 64 hex digits or base64; `gateway secrets generate` makes one")
    return key


def _keys(value: str) -> tuple[bytes, ...]:
    return tuple(decode_key(part) for part in value.replace(",", " ").split())


def _json_object(value: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise ValueError("must be a JSON object") from error
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object")
    return found


def decode_token(value: str) -> str:
    """Check the form of an API token: 64 lower-case hex digits.

    Raises:
        ValueError: it has another form.
    """
    if not _TOKEN.fullmatch(value):
        raise ValueError("must be 64 hex digits (0-9, a-f)")
    return value


def _level(value: str) -> str:
    if value.lower() not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
    return value.lower()


def _egress(value: str) -> Egress:
    words = value.replace(",", " ").split()
    networks = []
    for word in words:
        if word in ("public", "private"):
            continue
        try:
            networks.append(ipaddress.ip_network(word))
        except ValueError:
            raise ValueError("must hold `public`, `private`, or networks like 10.1.0.0/16") from None
    return Egress(private="private" in words, networks=tuple(networks))


def _domain(value: str) -> str:
    if not _DOMAIN.fullmatch(value.lower()):
        raise ValueError("must be the name of a domain, in ASCII")
    return value.lower()


def _name_server(value: str) -> tuple[str, int]:
    """Return address and port of `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53`."""
    host, _, port = value.rpartition(":") if value.count(":") == 1 or "]:" in value else (value, "", "53")
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), _port(port)
    except ValueError:
        raise ValueError("must be the address of a name server, with or without a port") from None


_READERS: dict[str, tuple[str, Any]] = {
    "GATEWAY_REDIS_URL": ("redis_url", _url),
    "GATEWAY_BROKER_URL": ("broker_url", _url),
    "GATEWAY_SECRET_KEYS": ("secret_keys", _keys),
    "GATEWAY_HOST": ("host", str),
    "GATEWAY_PORT": ("port", _port),
    "GATEWAY_SERVICE_URL": ("service_url", _origin),
    "GATEWAY_SETTINGS": ("runtime_settings", _json_object),
    "GATEWAY_PREPARED_TOKEN": ("prepared_token", decode_token),
    "GATEWAY_LOG_LEVEL": ("log_level", _level),
    "GATEWAY_DATA_DIR": ("data_dir", Path),
    "GATEWAY_MAX_BODY_SIZE": ("max_body_size", _octets),
    "GATEWAY_EGRESS": ("egress", _egress),
    "GATEWAY_WORKER_MEMORY": ("worker_memory", _mebibytes),
    "GATEWAY_SMTP_HOST": ("smtp_host", str),
    "GATEWAY_SMTP_PORT": ("smtp_port", _port),
    "GATEWAY_SMTP_TLS_PORT": ("smtp_tls_port", _port),
    "GATEWAY_SMTP_CERT_FILE": ("smtp_cert_file", Path),
    "GATEWAY_SMTP_KEY_FILE": ("smtp_key_file", Path),
    "GATEWAY_SMTP_MAX_SIZE": ("smtp_max_size", _octets),
    "GATEWAY_DELIVERY_TEST_DOMAIN": ("delivery_test_domain", _domain),
    "GATEWAY_INBOUND_HOST": ("inbound_host", str),
    "GATEWAY_INBOUND_PORT": ("inbound_port", _port),
    "GATEWAY_INBOUND_RESOLVER": ("inbound_resolver", _name_server),
}
