"""The pages a person sees while signing in: plain HTML, no script, usable with the keyboard, marked as a sandbox."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from gateway_sandbox.directory import APP_NAME, Person

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --soft: #5d5d66; --line: #c9c9d1; --paper: #fff; --back: #eef0f4;
        --key: #1f5fbf; --warn: #8a5a00; --warn-back: #fff4d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eceef2; --soft: #a7a9b4; --line: #44464f; --paper: #202127; --back: #15161a; --key: #8ab4ff;
          --warn: #ffd98a; --warn-back: #3a2f14; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--back);
       color: var(--ink); font: 16px/1.45 system-ui, "Segoe UI", sans-serif; }
main { width: min(27rem, 100%); background: var(--paper); border: 1px solid var(--line); border-radius: .5rem;
       overflow: hidden; }
.band { background: var(--warn-back); color: var(--warn); padding: .5rem 1.5rem; font-size: .85rem; }
.body { padding: 1.5rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; }
p { margin: .25rem 0 1rem; color: var(--soft); }
p.problem { color: var(--ink); border-left: .25rem solid var(--warn); padding-left: .75rem; }
fieldset { border: 0; margin: 0 0 1rem; padding: 0; }
legend { padding: 0; font-weight: 600; margin-bottom: .25rem; }
label.choice { display: flex; gap: .75rem; align-items: center; padding: .6rem .5rem; border-radius: .35rem;
               border: 1px solid transparent; cursor: pointer; }
label.choice:hover, label.choice:focus-within { background: var(--back); border-color: var(--line); }
label.choice small { display: block; color: var(--soft); }
input[type=email] { display: none; width: 100%; font: inherit; padding: .5rem; border: 1px solid var(--line);
                    border-radius: .35rem; background: var(--paper); color: inherit; }
fieldset:has(input[value=""]:checked) input[type=email] { display: block; }
ul { margin: .25rem 0 1rem; padding-left: 1.2rem; color: var(--soft); }
.actions { display: flex; gap: .5rem; flex-wrap: wrap; justify-content: flex-end; }
button { font: inherit; padding: .5rem 1.1rem; border-radius: .35rem; border: 1px solid var(--line);
         background: transparent; color: inherit; cursor: pointer; }
button.key { background: var(--key); border-color: var(--key); color: var(--paper); }
button.quiet { margin-right: auto; border-color: transparent; color: var(--key); padding-left: .25rem; }
:focus-visible { outline: 3px solid var(--key); outline-offset: 2px; }
code { overflow-wrap: anywhere; }
"""

#: What a scope lets an app do, in the words of a consent page.
_MEANINGS = {
    "IMAP.AccessAsUser.All": "Read and change your mail with IMAP",
    "POP.AccessAsUser.All": "Read your mail with POP",
    "SMTP.Send": "Send mail as you with SMTP",
    "Mail.ReadWrite": "Read and change your mail",
    "Mail.ReadWrite.Shared": "Read and change mail in mailboxes shared with you",
    "Mail.Read": "Read your mail",
    "Mail.Send": "Send mail as you",
    "Mail.Send.Shared": "Send mail on behalf of others",
    "User.Read": "Sign you in and read your profile",
    "MailboxSettings.Read": "Read your mailbox settings",
    "offline_access": "Keep access to data you have given it access to",
}


def sign_in(
    *,
    action: str,
    hidden: Mapping[str, str],
    people: Iterable[Person],
    chosen: str,
    scopes: Iterable[str],
    problem: str,
) -> str:
    """Return the sign-in page: pick somebody, see what the app asks for, accept or not.

    Args:
        action: where the form is posted to.
        chosen: address that is selected at first; one that is not offered is put into the text field.
        problem: what was wrong with the last try, or nothing.
    """
    people = list(people)
    known = any(person.address == chosen for person in people)
    focused = chosen or people[0].address
    choices = "".join(_choice(person, person.address == chosen, person.address == focused) for person in people)
    other = "" if known else chosen
    return _page(
        "Sign in",
        f"""<h1>Pick an account</h1>
<p>to continue to <strong>{escape(APP_NAME)}</strong>. Nobody has a password here.</p>
{_problem(problem)}
<form method="post" action="{escape(action)}">
{_hidden(hidden)}
<fieldset><legend>Account</legend>{choices}
<label class="choice"><input type="radio" name="user" value=""{"" if known or not chosen else " checked"}>
<span>Use another account</span></label>
<input type="email" name="other" value="{escape(other)}" autocomplete="off" aria-label="Address of another account"
{"autofocus" if other else ""} placeholder="somebody@contoso.test"></fieldset>
<strong>The app would like to:</strong>
<ul>{"".join(f"<li>{escape(meaning)}</li>" for meaning in _meanings(scopes))}</ul>
<div class="actions">
<button class="key" name="action" value="accept">Accept</button>
<button name="action" value="cancel" formnovalidate>Cancel</button>
<button class="quiet" name="action" value="needs_admin" formnovalidate>Needs admin approval</button>
</div></form>""",
    )


def admin_consent(*, action: str, hidden: Mapping[str, str], admin: Person, scopes: Iterable[str]) -> str:
    """Return the page on which an administrator approves the app for everybody."""
    return _page(
        "Approve for your organisation",
        f"""<h1>Permissions requested</h1>
<p><strong>{escape(admin.name)}</strong> ({escape(admin.address)}) reviews <strong>{escape(APP_NAME)}</strong>
for everybody in Contoso.</p>
<form method="post" action="{escape(action)}">
{_hidden(hidden)}
<ul>{"".join(f"<li>{escape(meaning)}</li>" for meaning in _meanings(scopes))}</ul>
<div class="actions">
<button class="key" name="action" value="accept">Accept for everybody</button>
<button name="action" value="cancel">Cancel</button>
</div></form>""",
    )


def problem(code: str, text: str) -> str:
    """Return the page for an error that must not be sent to the redirect URI (RFC 6749 section 4.1.2.1)."""
    return _page(
        "Sorry, but we are having trouble signing you in",
        f'<h1>Sorry, but we are having trouble signing you in.</h1><p class="problem"><code>{escape(code)}</code></p>'
        f"<p>{escape(text)}</p>",
    )


def form_post(uri: str, fields: Mapping[str, str]) -> str:
    """Return the page that carries the answer to the app in a form (OAuth 2.0 Form Post Response Mode)."""
    return _page(
        "Continue",
        f'<h1>Signed in</h1><form method="post" action="{escape(uri)}">{_hidden(fields)}'
        '<div class="actions"><button class="key">Continue</button></div></form>',
    )


def home(addresses: Iterable[str], control: str) -> str:
    """Return the front page: what this is."""
    people = "".join(f"<li>{escape(address)}</li>" for address in addresses)
    return _page(
        "Sandbox",
        f"<h1>Microsoft 365 sandbox</h1><p>A pretend mail service on this machine. Its mailboxes:</p><ul>{people}</ul>"
        f"<p>Failures are switched on and off at <code>{escape(control)}</code>.</p>",
    )


def _page(title: str, content: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - Sandbox</title><style>{_STYLE}</style></head>
<body><main><div class="band"><strong>Sandbox.</strong> This is not Microsoft; nothing leaves this machine.</div>
<div class="body">{content}</div></main></body></html>
"""


def _choice(person: Person, checked: bool, focused: bool) -> str:
    return (
        f'<label class="choice"><input type="radio" name="user" required value="{escape(person.address)}"'
        f"{' checked' if checked else ''}{' autofocus' if focused else ''}><span>{escape(person.name)}"
        f"<small>{escape(person.address)}</small></span></label>"
    )


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )


def _problem(text: str) -> str:
    return f'<p class="problem" role="alert">{escape(text)}</p>' if text else ""


def _meanings(scopes: Iterable[str]) -> list[str]:
    return [_MEANINGS[scope] for scope in sorted(scopes) if scope in _MEANINGS]
