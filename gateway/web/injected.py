"""What handlers are given, by parameter name."""

from __future__ import annotations

from typing import Any

from litestar.di import Provide
from litestar.params import SkipValidation

from gateway.provider import Clock
from gateway.web.ports import WebServices

Services = SkipValidation[WebServices]
Now = SkipValidation[Clock]


def dependencies(services: WebServices, clock: Clock) -> dict[str, Any]:
    """Return the providers of the parameters `services` and `clock`."""
    return {
        "services": Provide(lambda: services, sync_to_thread=False),
        "clock": Provide(lambda: clock, sync_to_thread=False),
    }
