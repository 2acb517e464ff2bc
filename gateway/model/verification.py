"""Tests of servers, before an account is made of them."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from gateway.model.account import EhloName, ImapConfig, ProxyUrl, SmtpConfig
from gateway.model.base import Payload, Resource
from gateway.model.message import Mailbox


class VerifyAccount(Payload, frozen=True, kw_only=True):
    """Servers to test without storing anything."""

    mailboxes: bool = False
    imap: ImapConfig | bool | None = None
    smtp: SmtpConfig | bool | None = None
    proxy: ProxyUrl | None = None
    smtp_ehlo_name: EhloName | None = None


class ServerVerdict(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """How the test of one server ended."""

    success: bool
    error: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    status_code: int | UnsetType = UNSET
    response_text: str | UnsetType = UNSET


class VerifyResult(Resource, frozen=True, kw_only=True):
    """How the test of each server ended, and the mailboxes when they were asked for."""

    imap: ServerVerdict | None = None
    smtp: ServerVerdict | None = None
    mailboxes: tuple[Mailbox, ...] | None = None
