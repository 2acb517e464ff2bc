"""Reports about sent mail: bounces (RFC 3464, and what mailers wrote before it or beside it) and complaints (RFC 5965).

- `signs`: whether a message may be a report at all, by what a listing shows of it
- `letter`: a message as the others read it, within bounds
- `originals`: the headers of the message that a report is about
- `delivery_status`: reports that machines can read
- `authors`: whether a mail system or a person wrote a text
- `notices`: bounces that are only text; `replies`: the server's own words in them
- `refusals`, ``refusals.json``: what the answer of a refusing server means
- `feedback`: complaints

Nothing here raises because of what is in a mail, and nothing is read beyond `SOURCE_LIMIT`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.mime.reports.delivery_status import read_delivery_status
from gateway.mime.reports.feedback import read_feedback
from gateway.mime.reports.letter import SOURCE_LIMIT, Letter
from gateway.mime.reports.notices import read_notice
from gateway.mime.reports.signs import may_be_report
from gateway.model.event import MessageBounceData, MessageComplaintData

__all__ = ["SOURCE_LIMIT", "Judgement", "judge", "may_be_report"]


class Judgement(NamedTuple):
    """What a message reports.

    Attributes:
        bounces: one for each recipient that was not reached for good, or, as machines can read it, until now.
        complaint: of a recipient.
        delivery_report: what a delivery status notification says, whatever became of the message.
    """

    bounces: tuple[MessageBounceData, ...] = ()
    complaint: MessageComplaintData | None = None
    delivery_report: dict[str, Any] | None = None

    @property
    def related(self) -> str | None:
        """Message-ID of the message that it is about."""
        if self.complaint is not None:
            return self.complaint.headers.message_id
        return self.bounces[0].message_id if self.bounces else None


def judge(source: bytes, id: str) -> Judgement:
    """Tell what a message reports.

    Args:
        source: its octets; what lies beyond `SOURCE_LIMIT` is not looked at.
        id: its id, for the events.
    """
    letter = Letter(source)
    complaint = read_feedback(letter, id)
    if complaint is not None:
        return Judgement(complaint=complaint)
    status = read_delivery_status(letter, id)
    if status is not None:
        return Judgement(bounces=status.bounces, delivery_report=status.report)
    return Judgement(bounces=read_notice(letter, id))
