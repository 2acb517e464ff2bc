"""What stands around a quotation, in the languages that the wire API knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

__all__ = ["Locale", "QuotationWords", "quotation_words"]

Locale = Literal["en", "et", "fr", "de", "pl", "ja", "nl"]


class QuotationWords(msgspec.Struct, frozen=True):
    """How a quotation is introduced.

    Attributes:
        wrote: who wrote what follows, and when: `name` and `when` are filled in.
        wrote_once: the same of a message without a date.
        somebody: the name of an author who is not known.
        forwarded: what stands above a forwarded message.
        fields: From, Date, Subject, To and Cc.
    """

    wrote: str
    wrote_once: str
    somebody: str
    forwarded: str
    fields: tuple[str, str, str, str, str]


_ENGLISH = QuotationWords(
    "On {when}, {name} wrote:",
    "{name} wrote:",
    "somebody",
    "Forwarded message",
    ("From", "Date", "Subject", "To", "Cc"),
)
_WORDS: Mapping[str, QuotationWords] = {
    "en": _ENGLISH,
    "et": QuotationWords(
        "{when} kirjutas {name}:",
        "{name} kirjutas:",
        "keegi",
        "Edastatud kiri",
        ("Saatja", "Kuupäev", "Teema", "Saaja", "Koopia"),
    ),
    "fr": QuotationWords(
        "Le {when}, {name} a écrit :",
        "{name} a écrit :",
        "quelqu'un",
        "Message transféré",
        ("De", "Date", "Objet", "À", "Cc"),
    ),
    "de": QuotationWords(
        "Am {when} schrieb {name}:",
        "{name} schrieb:",
        "jemand",
        "Weitergeleitete Nachricht",
        ("Von", "Datum", "Betreff", "An", "Kopie"),
    ),
    "pl": QuotationWords(
        "{when} {name} napisał(a):",
        "{name} napisał(a):",
        "ktoś",
        "Przekazana wiadomość",
        ("Od", "Data", "Temat", "Do", "DW"),
    ),
    "ja": QuotationWords(
        "{when} {name} のメール:",
        "{name} のメール:",
        "差出人不明",
        "転送されたメッセージ",
        ("差出人", "日付", "件名", "宛先", "Cc"),
    ),
    "nl": QuotationWords(
        "Op {when} schreef {name}:",
        "{name} schreef:",
        "iemand",
        "Doorgestuurd bericht",
        ("Van", "Datum", "Onderwerp", "Aan", "Cc"),
    ),
}


def quotation_words(locale: str) -> QuotationWords:
    """Return the words of a language, named as in ``de``, ``de-AT`` or ``de_AT`` (BCP 47); else the English ones."""
    return _WORDS.get(locale.replace("_", "-").partition("-")[0].lower(), _ENGLISH)
