"""Whether this installation can work."""

from __future__ import annotations

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.errors import ServiceUnavailableError
from gateway.model.base import Resource


class HealthReport(Resource, frozen=True, omit_defaults=False, kw_only=True):
    """`checks` names what the gateway depends on and tells whether it is there."""

    success: bool
    checks: dict[str, bool]


@operation(
    "GET",
    "/health",
    operation_id="getHealth",
    summary="Check the gateway",
    tag="Gateway",
    action="read",
    group="diagnostics",
    scope=None,
    returns=HealthReport,
    errors=(503,),
)
async def get_health(call: Call) -> HealthReport:
    """Tell whether the gateway can work. It says nothing of single accounts."""
    checks = await call.services.health.check()
    if not all(checks.values()):
        raise ServiceUnavailableError("The gateway cannot work now", code="Unhealthy", checks=checks)
    return HealthReport(success=True, checks=checks)


OPERATIONS = (get_health,)
