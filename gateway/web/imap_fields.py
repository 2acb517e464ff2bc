"""The fields of the hosted form for an IMAP mailbox."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from gateway.errors import InvalidRequestError
from gateway.model.account import AccountDetail, ImapInfo, SmtpInfo
from gateway.model.verification import ServerVerdict, VerifyResult
from gateway.services.sign_in import ImapFormData, SignInForm
from gateway.web.forms import Form, field_errors


class ImapValues(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the form; passwords never do."""

    name: str = ""
    email: str = ""
    email_fixed: bool = False
    imap_user: str = ""
    imap_host: str = ""
    imap_port: str = "993"
    imap_secure: bool = True
    smtp_host: str = ""
    smtp_port: str = "465"
    smtp_secure: bool = True
    smtp_user: str = ""

    @classmethod
    def of(cls, form: SignInForm, known: AccountDetail | None) -> ImapValues:
        """Return the fields as the link, and the account that it is for, fill them in.

        An address that is expected cannot be changed.
        """
        pinned = form.expected_email or ""
        values = cls(name=form.name or "", email=pinned or form.email or "", email_fixed=bool(pinned))
        if known is None:
            return values
        values = structs.replace(values, name=values.name or known.name or "", email=values.email or known.email or "")
        if known.imap is not None and known.imap.host:
            values = structs.replace(values, **_server("imap", known.imap, values.email))
        if known.smtp is not None and known.smtp.host:
            values = structs.replace(values, **_server("smtp", known.smtp, values.imap_user or values.email))
        return values


def _server(kind: str, server: ImapInfo | SmtpInfo, usual_user: str) -> dict[str, Any]:
    user = server.auth.user if server.auth is not None else usual_user
    return {
        f"{kind}_host": server.host,
        f"{kind}_port": str(server.port or ""),
        f"{kind}_secure": bool(server.secure),
        f"{kind}_user": "" if user == usual_user else user,
    }


def submitted_values(form: Form, opened: SignInForm) -> ImapValues:
    """Return what was typed."""
    pinned = opened.expected_email or ""
    return ImapValues(
        name=form.text("name"),
        email=pinned or form.text("email"),
        email_fixed=bool(pinned),
        imap_user=form.text("imap_user"),
        imap_host=form.text("imap_host"),
        imap_port=form.text("imap_port"),
        imap_secure=form.text("imap_security") != "starttls",
        smtp_host=form.text("smtp_host"),
        smtp_port=form.text("smtp_port"),
        smtp_secure=form.text("smtp_security") != "starttls",
        smtp_user=form.text("smtp_user"),
    )


def form_data(form: Form, values: ImapValues) -> ImapFormData:
    """Return what the service needs; the user name is the address unless another one was typed.

    Raises:
        InvalidRequestError: `fields` names every field that has to be looked at.
    """
    errors = _problems(form, values)
    if errors:
        raise InvalidRequestError(
            "the form is not complete", fields=[{"key": key, "message": text} for key, text in errors.items()]
        )
    return ImapFormData(
        name=values.name,
        email=values.email,
        imap_user=values.imap_user or values.email,
        imap_password=form.secret("imap_password"),
        imap_host=values.imap_host,
        imap_port=int(values.imap_port),
        imap_secure=values.imap_secure,
        smtp_host=values.smtp_host,
        smtp_port=int(values.smtp_port) if values.smtp_host else 0,
        smtp_secure=values.smtp_secure,
        smtp_user=values.smtp_user or None,
        smtp_password=form.secret("smtp_password") or None,
    )


def refusal(error: InvalidRequestError) -> dict[str, Any]:
    """Return why the account was not created: the verdict of a server, or what is wrong with a field."""
    errors = field_errors(error)
    imap, smtp = (
        ServerVerdict(success=False, error=errors[server], code=error.error_code) if server in errors else None
        for server in ("imap", "smtp")
    )
    return {"verdict": VerifyResult(imap=imap, smtp=smtp)} if imap or smtp else {"errors": errors}


def _problems(form: Form, values: ImapValues) -> dict[str, str]:
    errors: dict[str, str] = {}
    user, at, domain = values.email.partition("@")
    if not (user and at and domain) or " " in values.email or len(values.email) > 320:
        errors["email"] = "Type a mail address."
    if not form.secret("imap_password"):
        errors["imap_password"] = "Type the password."
    for name, host, port in (
        ("imap", values.imap_host, values.imap_port),
        ("smtp", values.smtp_host, values.smtp_port),
    ):
        if name == "smtp" and not host:
            continue  # reading only
        if not host or not all(char.isalnum() or char in ".-_:[]" for char in host):
            errors[f"{name}_host"] = "Type the name of the server."
        if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
            errors[f"{name}_port"] = "A number from 1 to 65535."
    return errors
