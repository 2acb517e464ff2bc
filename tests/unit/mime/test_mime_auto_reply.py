"""Automatic replies."""

from __future__ import annotations

import pytest

from gateway.mime.auto_reply import is_auto_reply


@pytest.mark.parametrize(
    "headers",
    [
        {"subject": ("Automatic reply: Hello",)},
        {"subject": ("Auto-Reply: Hello",)},
        {"subject": ("autoresponse Hello",)},
        {"subject": ("Out of Office: Hello",)},
        {"subject": ("Out of the office until Monday",)},
        {"subject": ("OOF: Hello",)},
        {"subject": ("Auto: Hello",), "in-reply-to": ("<1@example.org>",)},
        {"auto-submitted": ("auto-replied",)},
        {"auto-submitted": ("Auto-Replied; owner-email=a",)},
        {"precedence": ("auto_reply",)},
        {"x-auto-response-suppress": ("All",)},
        {"subject": ("Automatische Antwort: Angebot",)},
        {"subject": ("Abwesenheitsnotiz: Angebot",)},
        {"subject": ("Réponse automatique : Offre",)},
        {"subject": ("Respuesta automática: Oferta",)},
        {"subject": ("Risposta automatica: Offerta",)},
        {"subject": ("Resposta automática: Oferta",)},
        {"subject": ("Automatisch antwoord: Aanbod",)},
        {"subject": ("Autosvar: Tilbud",)},
        {"subject": ("Odpowiedź automatyczna: Oferta",)},
        {"subject": ("Автоматический ответ: Предложение",)},
        {"subject": ("自動応答: 提案",)},
        {"subject": ("自动答复： 提案",)},
        {"x-autoreply": ("yes",)},
        {"x-mail-autoreply": ("1",)},
        {"x-autorespond": ("1",)},
        {"x-autoresponder": ("1",)},
    ],
)
def test_automatic_reply_is_recognised(headers: dict[str, tuple[str, ...]]) -> None:
    """Answering one starts a conversation between two machines."""
    assert is_auto_reply(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"subject": ()},
        {"subject": ("Auto: for sale",)},
        {"subject": ("Re: Out of office",)},
        {"subject": ("Automatische Antwort einrichten",)},
        {"subject": ("AW: Abwesenheitsnotiz: Angebot",)},
        {"subject": ("Autosvarets historia",)},
        {"subject": ("Abwesenheitsnotizen im Team",)},
        {"auto-submitted": ("auto-generated",)},
        {"auto-submitted": ("no",)},
        {"precedence": ("bulk",)},
        {"x-autoreply": ("",)},
    ],
)
def test_letter_is_a_letter(headers: dict[str, tuple[str, ...]]) -> None:
    """One that is taken for automatic is one that nobody answers."""
    assert not is_auto_reply(headers)
