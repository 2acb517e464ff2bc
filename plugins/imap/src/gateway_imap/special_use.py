"""What mailboxes are for: told by the account's owner, by the server (RFC 6154), or guessed from the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from gateway.model.message import SpecialUse

Source = Literal["user", "extension", "name"]

#: In the order of the API's documentation; ``\\Inbox`` is not an attribute but the mailbox called INBOX.
ATTRIBUTES: dict[str, SpecialUse] = {use.lower(): use for use in get_args(SpecialUse) if use != "\\Inbox"}

# Folder names that mail programs and services create, in lower case: Outlook, Gmail, Thunderbird, Apple Mail, Yahoo,
# GMX and others, in English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish, Norwegian, Finnish,
# Polish, Czech, Russian, Ukrainian, Turkish, Estonian, Hungarian, Greek, Japanese, Chinese and Korean.
_NAMES: dict[SpecialUse, tuple[str, ...]] = {
    "\\Sent": (
        "sent", "sent items", "sent mail", "sent messages", "sent-mail", "sentmail", "outbox/sent",
        "gesendet", "gesendete objekte", "gesendete elemente", "gesendete nachrichten", "postausgang/gesendet",
        "éléments envoyés", "messages envoyés", "envoyés", "objets envoyés", "courrier envoyé",
        "enviados", "elementos enviados", "mensajes enviados", "correo enviado", "itens enviados", "mensagens enviadas",
        "posta inviata", "inviata", "posta inviati", "verzonden", "verzonden items", "verzonden berichten",
        "skickat", "skickade objekt", "sendt", "sendt post", "sendte elementer", "sendte meldinger", "lähetetyt",
        "wysłane", "elementy wysłane", "odeslané", "odeslaná pošta", "отправленные", "надіслані",
        "gönderilmiş öğeler", "gönderilenler", "gönderilmiş", "saadetud", "elküldött", "elküldött elemek",
        "απεσταλμένα", "送信済み", "送信済みアイテム", "送信済みメール", "已发送",
        "已发送邮件", "已傳送", "寄件備份", "보낸 편지함",
    ),
    "\\Drafts": (
        "drafts", "draft", "entwürfe", "entwurf", "brouillons", "brouillon", "borradores", "borrador", "rascunhos",
        "bozze", "concepten", "utkast", "kladder", "luonnokset", "robocze", "wersje robocze", "koncepty", "rozepsané",
        "черновики", "чернетки", "taslaklar", "mustandid", "piszkozatok",
        "πρόχειρα", "下書き", "草稿", "草稿箱", "임시 보관함",
    ),
    "\\Trash": (
        "trash", "deleted", "deleted items", "deleted messages", "bin",
        "papierkorb", "gelöschte objekte", "gelöschte elemente", "gelöscht",
        "corbeille", "éléments supprimés", "messages supprimés", "papelera", "elementos eliminados", "eliminados",
        "lixeira", "lixo", "itens excluídos", "itens eliminados", "cestino", "posta eliminata", "elementi eliminati",
        "prullenbak", "verwijderde items", "papperskorgen", "borttaget", "papirkurv", "slettet post", "søppelkurv",
        "slettede elementer", "roskakori", "poistetut", "kosz", "elementy usunięte", "koš", "odstraněná pošta",
        "корзина", "удаленные", "удалённые", "кошик", "çöp kutusu", "silinmiş öğeler", "prügikast", "kuka",
        "törölt elemek",
        "κάδος απορριμμάτων", "διαγραμμένα", "ごみ箱", "削除済みアイテム",
        "已删除", "已删除邮件", "垃圾桶", "刪除的郵件", "휴지통",
    ),
    "\\Junk": (
        "junk", "spam", "junk email", "junk e-mail", "junk mail", "bulk", "bulk mail",
        "spamverdacht", "junk-e-mail", "unerwünscht", "unerwünschte werbung",
        "courrier indésirable", "indésirables", "pourriel", "correo no deseado", "no deseado", "correo basura",
        "lixo eletrônico", "lixo eletrónico", "posta indesiderata", "indesiderata", "ongewenste e-mail", "ongewenst",
        "skräppost", "uønsket e-post", "uønsket mail", "uønsket post", "søppelpost", "roskaposti",
        "wiadomości-śmieci", "niechciane", "nevyžádaná pošta", "спам", "нежелательная почта", "небажана пошта",
        "gereksiz", "önemsiz e-posta", "istenmeyen", "rämpspost", "levélszemét", "ανεπιθύμητη αλληλογραφία",
        "迷惑メール", "垃圾邮件", "垃圾郵件", "스팸", "정크 메일",
    ),
    "\\Archive": (
        "archive", "archives", "archiv", "archivo", "archivos", "archivado", "arquivo", "archivio", "archief", "arkiv",
        "arkisto", "archiwum", "архив", "архів", "arşiv", "arhiiv", "archívum", "αρχείο", "アーカイブ", "存档",
        "归档", "封存", "보관함",
    ),
    "\\All": ("all mail", "alle nachrichten", "tous les messages", "todos", "all messages"),
    "\\Flagged": ("starred", "flagged", "markiert", "messages suivis", "destacados"),
}  # fmt: skip
NAMES: dict[str, SpecialUse] = {name: use for use, names in _NAMES.items() for name in names}
_GMAIL_ONLY = frozenset({"\\All", "\\Flagged"})


class Listed(NamedTuple):
    """One mailbox as far as its use depends on it."""

    path: str
    name: str
    parent_path: str
    attributes: frozenset[str]
    selectable: bool


def assign_uses(
    mailboxes: Sequence[Listed], overrides: Mapping[str, str], guesses: Mapping[str, SpecialUse]
) -> dict[str, tuple[SpecialUse, Source]]:
    """Return path -> use and how it is known; each use at most once, each mailbox at most one.

    Args:
        mailboxes: everything the server lists.
        overrides: special use -> path, fixed by the account's owner.
        guesses: lower-case name -> use, beside `NAMES`.
    """
    found: dict[str, tuple[SpecialUse, Source]] = {}
    taken: set[SpecialUse] = {"\\Inbox"}

    def assign(path: str, use: SpecialUse, source: Source) -> None:
        if use not in taken and path not in found and path.upper() != "INBOX":
            found[path] = (use, source)
            taken.add(use)

    paths = {mailbox.path for mailbox in mailboxes}
    for use_name, path in overrides.items():
        use = ATTRIBUTES.get(use_name.lower())
        if use is not None and path in paths:
            assign(path, use, "user")
    candidates = [mailbox for mailbox in mailboxes if mailbox.selectable]
    for mailbox in candidates:
        for attribute in sorted(mailbox.attributes & ATTRIBUTES.keys()):
            assign(mailbox.path, ATTRIBUTES[attribute], "extension")
    names = {**NAMES, **guesses}
    # A name tells something at the top or right below INBOX or Gmail's root; deeper it is somebody's own folder.
    for mailbox in sorted(candidates, key=lambda each: len(each.parent_path)):
        top = mailbox.parent_path.upper() in ("", "INBOX", "[GMAIL]", "[GOOGLE MAIL]")
        guess = names.get(mailbox.name.lower())
        if top and guess is not None and (guess not in _GMAIL_ONLY or mailbox.parent_path[:2].upper() == "[G"):
            assign(mailbox.path, guess, "name")
    return found
