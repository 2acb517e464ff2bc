"""What clients are told of a submission (`gateway.model.event`)."""

from __future__ import annotations

from datetime import datetime

from gateway.errors import GatewayError
from gateway.model.event import DeliveryJob, MessageDeliveryErrorData, MessageFailedData, MessageSentData
from gateway.model.submission import OutboxEntry
from gateway.provider import SubmitReceipt


def sent(entry: OutboxEntry, receipt: SubmitReceipt) -> MessageSentData:
    """Return what is told of a message that the service took."""
    renamed = receipt.message_id is not None and receipt.message_id != entry.message_id
    return MessageSentData(
        message_id=receipt.message_id or entry.message_id,
        original_message_id=entry.message_id if renamed else None,
        response=receipt.response,
        queue_id=entry.queue_id,
        envelope=entry.envelope,
        network_routing=receipt.network_routing,
    )


def attempt_failed(entry: OutboxEntry, error: GatewayError, next_attempt: datetime | None) -> MessageDeliveryErrorData:
    """Return what is told of an attempt that failed."""
    return MessageDeliveryErrorData(
        queue_id=entry.queue_id,
        envelope=entry.envelope,
        message_id=entry.message_id,
        error=error.message,
        error_code=error.error_code,
        smtp_response=error.details.get("smtp_response"),
        smtp_response_code=error.details.get("smtp_response_code"),
        smtp_command=error.details.get("smtp_command"),
        network_routing=error.details.get("network_routing"),
        job=DeliveryJob(
            id=entry.queue_id,
            attempts_made=entry.attempts_made,
            attempts=entry.attempts,
            next_attempt=next_attempt or False,
        ),
    )


def failed(entry: OutboxEntry, error: GatewayError) -> MessageFailedData:
    """Return what is told of a message that will not be sent."""
    return MessageFailedData(
        message_id=entry.message_id,
        queue_id=entry.queue_id,
        error=error.message,
        network_routing=error.details.get("network_routing"),
    )
