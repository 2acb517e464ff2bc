"""What Exchange Online takes from one mailbox.

https://learn.microsoft.com/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits:
30 messages a minute, and three connections to the submission server at once; more are refused with 432 4.3.2. The
10,000 recipients a day are not counted here: Exchange tells when they are used up (`gateway_microsoft.refusals`).
"""

from __future__ import annotations

from gateway.provider import SubmissionLimits

EXCHANGE_LIMITS = SubmissionLimits(service="exchange", messages=30, seconds=60.0, connections=3)
