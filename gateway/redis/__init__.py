"""Redis as the gateway uses it: clients with the right timeouts, key names, coalesced calls, scripts.

Only commands of Redis 6.2 are used, so that the embedded server and every managed one work.
State has two tiers. The control plane (tag ``{gw}``) lives in one slot: RQ, tokens, apps, settings, due work.
The data plane (tag ``{a:<account>}``) holds one account per slot, so that it can be a Redis Cluster. No script and
no transaction crosses tiers.
"""

from __future__ import annotations

from redis.exceptions import RedisError

from gateway.redis.client import Databases, open_client, open_databases
from gateway.redis.coalescer import Coalescer
from gateway.redis.script import Script

__all__ = ["UNREACHABLE", "Coalescer", "Databases", "Script", "open_client", "open_databases"]

#: What is raised when a server cannot be reached or refuses to serve.
UNREACHABLE: tuple[type[Exception], ...] = (RedisError,)
