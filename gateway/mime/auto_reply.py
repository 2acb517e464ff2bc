"""Tell automatic replies from mail written by a person (RFC 3834)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# English as EmailEngine has it; the others as Exchange and Outlook write them, with the colon: a listing has no headers
# to tell by.
_SUBJECT = re.compile(
    r"auto(?:matic)?[- ]?(?:reply|response)|out of (?:the )?office|oof:|ooo:"
    r"|(?:automatische antwort|abwesenheitsnotiz|abwesend|réponse automatique|absence du bureau|respuesta automática"
    r"|fuera de (?:la )?oficina|risposta automatica|fuori sede|resposta automática|automatisch antwoord|autosvar"
    r"|automatiskt? svar|automaattinen vastaus|odpowiedź automatyczna|automatyczna odpowiedź|automatická odpověď"
    r"|automatikus válasz|răspuns automat|otomatik yan\u0131t|автоответ|автоматический ответ|αυτόματη απάντηση"
    r"|自動応答|自动答复|自動回覆|자동 회신)\s?[:\uff1a]",
    re.IGNORECASE,
)
# RFC 3834 section 5.2; parameters may follow the keyword.
_SUBMITTED = re.compile(r"auto-replied\b", re.IGNORECASE)
_MARKERS = ("x-auto-response-suppress", "x-autoresponder", "x-autorespond", "x-autoreply", "x-mail-autoreply")
#: Lower-case names of the fields that tell, beside Subject and In-Reply-To.
TELLING_FIELDS = ("auto-submitted", "precedence", *_MARKERS)


def is_auto_reply(headers: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether a message answers by itself: an out-of-office note, a "we got your mail".

    Args:
        headers: lower-case name -> decoded values, as in `MessageDetail.headers`.
    """
    subject = _first(headers, "subject")
    if _SUBJECT.match(subject) or (subject[:5].lower() == "auto:" and _first(headers, "in-reply-to")):
        return True
    if _SUBMITTED.match(_first(headers, "auto-submitted")):
        return True
    if _first(headers, "precedence").lower() in ("auto_reply", "auto-reply"):
        return True
    return not headers.keys().isdisjoint(_MARKERS) and any(_first(headers, name) for name in _MARKERS)


def _first(headers: Mapping[str, Sequence[str]], name: str) -> str:
    values = headers.get(name)
    return values[0].strip() if values else ""
