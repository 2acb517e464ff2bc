"""Operations by name: how the API process hands work to the workers and hears the answer.

- `operations`: what can be asked for: the allowlist, argument structs, lanes
- `wire`: what a job, a reply and a recorded failure look like as octets
- `client`: `JobClient`: enqueue, wait for the reply, stream
- `ownership`: which worker owns which account
- `signals`: what processes call out to all workers
- `replies`: the subscription on which an API process hears of its jobs
- `streams`: message sources and attachments through bounded Redis lists
- `pauses`: which queues are paused
- `backlog`: what waits and what is under way
- `transitions`: start and finish of a job as Lua scripts over RQ's own keys
- `records`: everything else that touches RQ's records, by RQ's own functions

Jobs are RQ jobs: ``rq info``, registries and retries work on them. This package and the worker class are the only
places that know RQ. RQ takes its key prefix from the environment at import, so it is set here, before any module of
this package can import RQ: every key of the control plane has to be in one slot of a Redis Cluster.
"""

from __future__ import annotations

import os

from gateway.redis import keys

os.environ["RQ_KEY_PREFIX"] = keys.RQ_PREFIX
