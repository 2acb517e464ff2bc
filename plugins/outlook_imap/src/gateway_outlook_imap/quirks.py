"""How Exchange Online differs from a plain IMAP server.

| Fact | Source | Seen |
|---|---|---|
| Flags of special use are in LIST answers although SPECIAL-USE is not among the capabilities; sometimes they are missing, so names count too. | transcripts in public issue threads (imapsync, node-imap, MailKit) | 2018-2025 |
| Folders are named in the language in which the mailbox was opened first. | https://learn.microsoft.com/powershell/module/exchange/set-mailboxregionalconfiguration (LocalizeDefaultFolderName) | 2025 |
| Calendar, contacts, journal, notes, tasks, outbox and sync issues are in LIST and can be selected, but hold no mail. | transcripts, as above | 2013-2025 |
| A copy of submitted mail is filed under Sent Items by the service. | https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission | 2025 |
| Three SMTP connections at once and 30 messages a minute for one mailbox; more are refused with 432 4.3.2. A session has one; the gateway counts (`submission_limits`). | https://learn.microsoft.com/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits | 2025 |
| After a login with the wrong right, every command is answered BAD "User is authenticated but not connected." | transcripts, as above; `gateway_microsoft.refusals` | 2013-2025 |
| A session ends when its token does: BYE "Session invalidated - AccessTokenExpired". | imapsync issue 250; `gateway_microsoft.refusals` | 2021-2025 |
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Mapping

from gateway_imap import Quirks

#: Default folders without mail, as Outlook names them: calendar, contacts, journal, notes, tasks, outbox, sync issues.
NOT_MAIL: Mapping[str, tuple[str, ...]] = {
    "en": ("Calendar", "Contacts", "Journal", "Notes", "Tasks", "Outbox", "Sync Issues"),
    "de": ("Kalender", "Kontakte", "Journal", "Notizen", "Aufgaben", "Postausgang", "Synchronisierungsprobleme"),
    "fr": ("Calendrier", "Contacts", "Journal", "Notes", "Tâches", "Boîte d'envoi", "Problèmes de synchronisation"),
    "es": ("Calendario", "Contactos", "Diario", "Notas", "Tareas", "Bandeja de salida", "Problemas de sincronización"),
    "it": ("Calendario", "Contatti", "Diario", "Note", "Attività", "Posta in uscita", "Problemi di sincronizzazione"),
    "pt": ("Calendário", "Contatos", "Diário", "Anotações", "Tarefas", "Caixa de Saída", "Problemas de Sincronização"),
    "nl": ("Agenda", "Contactpersonen", "Logboek", "Notities", "Taken", "Postvak UIT", "Synchronisatieproblemen"),
    "sv": ("Kalender", "Kontakter", "Journal", "Anteckningar", "Uppgifter", "Utkorgen", "Synkroniseringsproblem"),
    "pl": ("Kalendarz", "Kontakty", "Dziennik", "Notatki", "Zadania", "Skrzynka nadawcza", "Problemy z synchronizacją"),
    "ru": ("Календарь", "Контакты", "Дневник", "Заметки", "Задачи", "Исходящие", "Ошибки синхронизации"),
}

EXCHANGE = Quirks(hidden=frozenset(name for names in NOT_MAIL.values() for name in names))
