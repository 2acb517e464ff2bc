"""What gives a report away: who writes it, under which subject, with which parts."""

from __future__ import annotations

import re

from gateway.model.message import Address, MessageEntry

#: Parts that machines read (RFC 3464, RFC 6533, RFC 5965).
STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
FEEDBACK_TYPE = "message/feedback-report"

#: Local parts that no person has.
_MAILER = re.compile(
    r"(?:mailer[-_.]?daemon|mail[-_.]?daemon|mdaemon|microsoftexchange[0-9a-f]{8,}|mail[-_. ]?router"
    r"|mail[-_.]?delivery[-_.]?(?:system|subsystem))",
    re.IGNORECASE,
)
_DAEMON = re.compile(
    rf"{_MAILER.pattern}|postmaster|mail[-_.]?delivery|bounces?|system[-_.]administrator|mailadmin", re.IGNORECASE
)
#: A brand may stand before it, and a host after it; nothing else.
_DAEMON_NAME = re.compile(
    r"(?:(?:[\w.!&-]+ ){0,2}(?:mailer[- ]daemon|mail delivery (?:sub)?system|mail router|mail(?:er)? system"
    r"|internet mail delivery|delivery subsystem|microsoft exchange)"
    r"|postmaster|system administrator|mail administrator)(?:[ @]*(?:at|on|for)?[ @]*\(?[\w-]+(?:\.[\w-]+)+\)?)?",
    re.IGNORECASE,
)
#: Where feedback loops write from when they do not write as RFC 5965 says.
_LOOPS = re.compile(r"(?:staff@hotmail\.com|[^@]*(?:fbl|feedback|abuse|complaint|arf)[^@]*@.*)", re.IGNORECASE)

#: Sentences about mail that did not arrive, in subjects and bodies.
FAILURE = re.compile(
    r"undeliver(?:able|ed)|non[- ]?deliver(?:y|able)|delivery (?:status notification ?\((?:failure|failed)\)|failure"
    r"|failed|has failed|problem|error|report)|(?:mail|message|email) (?:delivery )?(?:failure|failed|error)"
    r"|failure notice|failed (?:mail|message)|mail (?:delivery )?failed|rejected mail|mail was rejected"
    r"|delivery status notification(?! ?\((?:delay|success|relay|expand))"
    r"|delivery[^.\n]{0,40} (?:failed|aborted)|delivery of the following"
    r"|returned (?:mail|to sender|message)|return(?:ed)? (?:un|to )|mail could not be"
    r"|(?:could|can|was|were|did) ?not (?:be |been )?(?:deliver|sent|reach|accepted)|couldn'?t (?:be )?deliver"
    r"|wasn'?t (?:able to )?(?:be )?(?:deliver|found)|unable to (?:be )?deliver|cannot be delivered|not delivered"
    r"|address(?:es|\(es\)|es\(s\))? (?:failed|had (?:permanent )?(?:fatal|delivery)|has failed|wasn't found)"
    r"|failed recipient|permanent (?:fatal )?(?:error|failure)|did not reach|didn'?t reach|message (?:was )?blocked"
    r"|rejected your message|message (?:has been |was )?rejected|failed permanently"
    # German
    r"|unzustellbar|(?:nicht|un)\s?zugestellt|nicht zustellbar|nicht ausgeliefert|zustell(?:ung|versuch)[^.\n]{0,40}"
    r"(?:fehlgeschlagen|fehler|nicht möglich|gescheitert)|zustellfehler|fehler bei der zustellung"
    r"|konnte[^.\n]{0,60}nicht[^.\n]{0,40}(?:zugestellt|zustellen|übermittelt)"
    # French
    r"|non (?:remis|distribu|délivr|livr)|échec de (?:la )?(?:remise|distribution|livraison)|n'a pas pu être"
    r" (?:remis|distribu|délivr|livr|envoy|achemin)|retour(?:né)? à l'expéditeur|impossible de (?:remettre|distribuer)"
    # Spanish
    r"|no se (?:puede|pudo|ha podido|ha entregado|pudieron)[^.\n]{0,30}(?:entregar|enviar|entregad)?"
    r"|no (?:entregable|entregado)|error (?:en la|de) entrega|fall[oó] (?:en la|de) (?:la )?entrega"
    r"|no ha sido entregado"
    # Italian, Portuguese, Dutch
    r"|mancat[ao] (?:consegna|recapito)|non (?:recapitabile|consegnat|è stato possibile (?:recapit|consegn))"
    r"|impossibile (?:recapitare|consegnare)|não (?:entregue|foi entregue|p[ôo]de ser entregue)"
    r"|(?:falha|erro) na entrega|não (?:foi|é) possível entregar|onbestelbaar|niet (?:worden )?(?:bezorgd|afgeleverd)"
    # Polish, Czech, Swedish, Danish, Turkish
    r"|niedostarcz|nie dostarczon|nie (?:można|udało się) dostarczy|niedoręcz|nedoručiteln|nelze doručit|inte leverera"
    r"|gick inte att leverera|kan inte leverer|kan ikke leveres|ikke leveret|teslim edilemedi|iletilemedi"
    # Finnish, Hungarian, Russian, Japanese, Korean, Chinese
    r"|ei voi(?:da|tu)? toimittaa|kézbesíthetetlen|배달되지|배달할 수 없"
    r"|не (?:было )?доставлен|недоставленн|невозможно доставить|ошибка доставки|配信不能|配信できません|配送できません"
    r"|送信できませんでした|退信|无法送达|未送达|投递失败|無法傳遞",
    re.IGNORECASE,
)


#: Why mail did not arrive, in the words of servers and mailers.
REASON = re.compile(
    r"(?:user|recipient|mailbox|account|address|userid|name)[^.\n]{0,40}(?:unknown|not (?:known|found|exist"
    r"|recogni[sz]ed|listed|valid|local)|disabled|discontinued|inactive|unavailable|full|exceed"
    r"|doesn't exist|does not exist|rejected)"
    r"|(?:unknown|no such|invalid|bad)[^.\n]{0,30}(?:user|recipient|mailbox|account|address|domain|userid|host)"
    r"|(?:over|exceeded?|exceeds)[^.\n]{0,30}(?:quota|limit|size|maximum)|quota exceeded|no mailbox here|host not found"
    r"|domain (?:name )?(?:does not exist|not found)|relay(?:ing)? denied|unrouteable|mailbox (?:is )?full"
    r"|could not find a gateway|doesn't have a|connection (?:timed out|refused|reset|lost)|no route to host",
    re.IGNORECASE,
)


def may_be_report(entry: MessageEntry) -> bool:
    """Tell whether it is worth reading a message, by what a listing shows of it."""
    types = {attachment.content_type for attachment in entry.attachments}
    if types.intersection(STATUS_TYPES) or FEEDBACK_TYPE in types:
        return True
    if entry.from_ is not None and (is_daemon(entry.from_) or is_feedback_loop(entry.from_)):
        return True
    return FAILURE.search((entry.subject or "")[:512]) is not None


def is_daemon(sender: Address) -> bool:
    """Tell whether a sender may be a mail system; a person may be called postmaster, too."""
    return has_daemon_address(sender) or _DAEMON_NAME.fullmatch(sender.name[:200].strip()) is not None


def has_daemon_address(sender: Address) -> bool:
    """Tell whether mail systems write from such an address, whatever name stands beside it."""
    return _DAEMON.fullmatch(_local(sender)) is not None


def is_mailer(sender: Address) -> bool:
    """Tell whether a sender is a mail system, and no person."""
    return _MAILER.fullmatch(_local(sender)) is not None


def is_feedback_loop(sender: Address) -> bool:
    """Tell whether a sender may pass on complaints."""
    return _LOOPS.fullmatch(sender.address[:320]) is not None


def _local(sender: Address) -> str:
    return sender.address.partition("@")[0].strip().strip('"')
