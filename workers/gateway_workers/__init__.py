"""The processes behind the queue.

- `worker`: `MailWorker` starts, serves all lanes, stops
- `lanes`: fetching the jobs of one lane
- `execution`: `JobRunner`, one job from its octets to the recorded outcome
- `context`: what the handler of an operation is given
- `sessions`: `SessionPool`, warm connections, one job at a time on each
- `ownership`: the accounts that this worker owns, and who is told of them
- `signals`: what other processes call out to all workers
- `liveness`: the sign of life of a worker, and what happens when it was missed
- `reaper`: the jobs and accounts of workers that died
- `operations`: the handlers
- `maintenance`: periodic work
"""
