"""Whether a mail system or a person wrote a letter about mail that did not arrive.

People are called postmaster, too: they answer questions, quote logs, pass bounces on; and newsletters write about all
of it. Mail systems put the failure first in their subjects, and greet nobody by name.
"""

from __future__ import annotations

import re

from gateway.mime.reports.letter import Letter
from gateway.mime.reports.signs import FAILURE

_ANSWER = re.compile(
    r"\s*(?:re|aw|antw|sv|fwd?|wg|tr|rv|automatic reply|auto|out of (?:the )?office)\s*:", re.IGNORECASE
)
#: What mail systems and filters put before the failure, with a colon or in brackets.
_HEADINGS = re.compile(
    r"(?:notice|notification|warning|error|alert|automatic|automated|postmaster|mailer-daemon|system|delivery"
    r"|delivery notification|mail system|message status|nachricht|avis|aviso)\s*:"
    r"|\[(?:[^\]\d#]{1,20})\]|\*{1,5}[a-z]{1,10}\*{1,5}|\"[^\"]*\"|'[^']*'|„[^“]*“|«[^»]*»|<[^<>]*>|\S+@\S+",
    re.IGNORECASE,
)
_ABOUT_IT = re.compile(
    r"[:?#\[]|\d{3,}|\b(?:ticket|case|issue|request|question|how|why|what|when|weekly|daily|monthly|newsletter|episode"
    r"|digest|fix(?:ing)?|log|help|about|tips?|guide|reasons?|information|regarding|overview|our|my)\b",
    re.IGNORECASE,
)
_WORDS_BEFORE = 5
#: From here on somebody else speaks.
_PASSED_ON = re.compile(
    r"^[ \t]*(?:-{2,}[ \t]*(?:forwarded|original|weitergeleitete|ursprüngliche|message transféré|mensaje reenviado)"
    r"[^\n-]{0,30}-{2,}|begin forwarded message|[^\n]{0,200}\b(?:wrote|writes|schrieb|a écrit|escribió|ha scritto)\b"
    r"[^\n]{0,80}:[ \t]*$)",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED = re.compile(r"^[ \t]*>(?!>).*$", re.MULTILINE)
#: How people begin, what they say, and lines of logs, which only people pass on.
_PERSONAL = re.compile(
    r"\A\s*(?:hi|hello|hey|dear|good (?:morning|afternoon|day)|hallo|guten (?:tag|morgen)|liebe[rs]?|sehr geehrte[rs]?"
    r"|moin|servus|bonjour|cher|chère|salut|hola|estimad[oa]|buenos días|ciao|gentile|caro|cara|beste|geachte)\b"
    r"(?![^\n]{0,20}\b(?:sender|user|customer|sir|client|subscriber|member|absender|kunde|kunden|nutzer|usuario"
    r"|utilisateur|cliente|klant)\b)[^\n:]{0,40}[,!]?[ \t]*$"
    r"|\b(?:I|we)(?:'ve| have| just)? (?:looked|checked|see|saw|found|think|fixed|asked|tried|noticed|got|get|guess)\b"
    r"|\bI(?:'d|'ll| will| would| suggest| am working)\b|\bwe(?:'re| are) working\b|\b(?:re)?solved\b"
    r"|\b(?:could|can|would) you\b|\byour (?:ticket|question|request|server|case)\b|\blet (?:me|us) know\b"
    r"|\b(?:our|the|my) logs?\b|\b(?:is|was|has been) fixed\b|\bthanks\b"
    r"|\b(?:postfix|exim|sendmail|dovecot|qmail)[\w/-]*\[\d+\]:|\bstatus=(?:bounced|deferred)\b|\bdsn=\d\.\d"
    r"|\bR=\w+ T=\w+|^[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d \S+ [\w/-]+\[\d+\]:",
    re.IGNORECASE | re.MULTILINE,
)
#: Confirmations that a question came in.
_RECEIVED = re.compile(
    r"\bwe(?:'ve| have)? received your\b|\bthank you for (?:your|contacting)\b|\byou wrote:|\babove this line\b"
    r"|\bwir haben ihre [^\n]{0,30} erhalten\b",
    re.IGNORECASE,
)
#: What mail systems say of their own letters.
_AUTOMATIC = re.compile(
    r"\bautomat(?:ed|ic|ically|isch\w*|ique|icamente)\b|do not reply|autom[áa]tic[ao]", re.IGNORECASE
)


def is_answer(subject: str) -> bool:
    """Tell whether a subject is that of an answer, or of a letter that is passed on."""
    return _ANSWER.match(subject) is not None


def is_about_failure(subject: str) -> bool:
    """Tell whether a subject says first of all that mail did not arrive."""
    failure = FAILURE.search(subject)
    if failure is None:
        return False
    before = _HEADINGS.sub(" ", subject[: failure.start()])
    return _ABOUT_IT.search(before) is None and len(re.findall(r"\w+", before)) <= _WORDS_BEFORE


def own_words(said: str) -> str:
    """Return what the author of a text says, without what is quoted or passed on."""
    other = _PASSED_ON.search(said)
    return _QUOTED.sub("", said[: other.start()] if other else said)


def is_personal(letter: Letter, words: str) -> bool:
    """Tell whether a person wrote a letter, by its words and by the program that it was written with."""
    return letter.has("user-agent") or _PERSONAL.search(words) is not None


def is_confirmation(words: str) -> bool:
    """Tell whether a program answers that a letter came in."""
    return _RECEIVED.search(words) is not None


def is_automatic(letter: Letter, words: str) -> bool:
    """Tell whether a letter says of itself that a program wrote it (RFC 3834 section 5, Exchange)."""
    return (
        letter.has("x-ms-exchange-message-is-ndr")
        or letter.header("auto-submitted").lower().startswith("auto-")
        or _AUTOMATIC.search(words) is not None
    )
