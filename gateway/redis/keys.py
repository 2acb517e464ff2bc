"""Every key name of the gateway. Nothing else spells one out.

Ids may hold any character, colons and braces among them: no name that ends in one id may go on to become another name.
"""

from __future__ import annotations

CONTROL = "{gw}"

#: RQ reads this prefix from the environment when it is imported; `gateway.queue` sets it there.
RQ_PREFIX = f"{CONTROL}:rq"

SETTINGS = f"{CONTROL}:settings"
ACCOUNTS = f"{CONTROL}:accounts"
APPS = f"{CONTROL}:apps"
TOKENS = f"{CONTROL}:tokens"
OUTBOX = f"{CONTROL}:outbox"
EXPORTS = f"{CONTROL}:exports"
RELAYS = f"{CONTROL}:relays"
BLOCKLISTS = f"{CONTROL}:blocklists"
TEMPLATES = f"{CONTROL}:templates"
DUE = f"{CONTROL}:due"
WEBHOOK_ROUTES = f"{CONTROL}:webhook-routes"
WEBHOOK_TROUBLES = f"{CONTROL}:webhook-troubles"
WEBHOOK_COUNTS = f"{CONTROL}:webhook-counts"
WORKERS = f"{CONTROL}:workers"
METRICS = f"{CONTROL}:metrics"
COUNTED = f"{CONTROL}:counted"
FEED = f"{CONTROL}:feed"
ANNOUNCED = f"{CONTROL}:announced"
DEPARTED = f"{CONTROL}:departed"
ALIVE = f"{CONTROL}:alive"
SYNCED = f"{CONTROL}:synced"
PUSHES = f"{CONTROL}:pushes"
OWNERS = f"{CONTROL}:owners"
UNOWNED = f"{CONTROL}:unowned"
EPOCH = f"{CONTROL}:epoch"
RECONCILED = f"{CONTROL}:reconciled"
SIGNALS = f"{CONTROL}:signals"
PAUSED = f"{CONTROL}:paused"


def app(app_id: str) -> str:
    """Hash of one OAuth2 app."""
    return f"{CONTROL}:app:{app_id}"


def template_content(template: str) -> str:
    """The texts of one template, sealed."""
    return f"{CONTROL}:template:{template}"


def blocklist(list_id: str) -> str:
    """Hash recipient -> why they get no mail of one list."""
    return f"{CONTROL}:blocklist:{list_id}"


def relay_use(relay: str) -> str:
    """Hash of what became of mail that was sent through one relay."""
    return f"{CONTROL}:relay-use:{relay}"


def app_accounts(app_id: str) -> str:
    """Hash login name -> account of the accounts that signed in through an app."""
    return f"{CONTROL}:app-accounts:{app_id}"


def token(token_id: str) -> str:
    """Hash of one API token, named by the SHA-256 of its value."""
    return f"{CONTROL}:token:{token_id}"


def token_calls(token_id: str, window: int) -> str:
    """Counter of a token's calls in one window."""
    return f"{CONTROL}:token-calls:{token_id}:{window}"


def account_tokens(account: str) -> str:
    """Set of the token ids that are bound to an account."""
    return f"{CONTROL}:account-tokens:{account}"


def event_counts(account: str) -> str:
    """Hash event name -> how many an account has had."""
    return f"{CONTROL}:event-counts:{account}"


def sign_in(state: str) -> str:
    """A sign-in under way, named by its OAuth2 ``state``."""
    return f"{CONTROL}:sign-in:{state}"


def consent(app_id: str) -> str:
    """Mark that an administrator came back from the consent page of an app."""
    return f"{CONTROL}:consent:{app_id}"


def form_nonce(nonce: str) -> str:
    """Mark of a hosted form link that was used."""
    return f"{CONTROL}:form:{nonce}"


def form_probes(nonce: str) -> str:
    """Counter of connection tests made through one hosted form link."""
    return f"{CONTROL}:form-probes:{nonce}"


def delivery_test_account(test: str) -> str:
    """The account of one delivery test."""
    return f"{CONTROL}:delivery-test:{test}"


def worker(name: str) -> str:
    """Liveness of one worker; exists while the worker lives: "1" at work, "0" about to stop."""
    return f"{CONTROL}:worker:{name}"


def worker_connection(name: str) -> str:
    """Redis' own number of the connection over which a worker last gave a sign of life."""
    return f"{CONTROL}:worker-connection:{name}"


def figures(worker: str) -> str:
    """Hash of what one worker tells of itself for metrics."""
    return f"{CONTROL}:figures:{worker}"


def connections(worker: str) -> str:
    """Hash account -> how many IMAP connections to it one worker holds."""
    return f"{CONTROL}:connections:{worker}"


def owned(worker: str) -> str:
    """Set of the accounts that a worker owns."""
    return f"{CONTROL}:owned:{worker}"


def reaper(name: str) -> str:
    """Lock of the worker that cleans up after a dead one."""
    return f"{CONTROL}:reap:{name}"


def replies(process: str) -> str:
    """Pub/sub channel on which one process receives the replies to its jobs."""
    return f"{CONTROL}:replies:{process}"


def stream(job: str) -> str:
    """List of chunks that a job streams to its caller."""
    return f"{CONTROL}:stream:{job}"


def stream_credit(job: str) -> str:
    """List by which the caller of a streaming job tells how much more it can take."""
    return f"{CONTROL}:stream:{job}:credit"


def taken(worker: str, queue: str) -> str:
    """List of the jobs that a worker has taken for a lane but not yet started; `queue` is that of all workers."""
    return f"{CONTROL}:taken:{worker}:{queue}"


def own_queue(queue: str, worker: str) -> str:
    """Name of the RQ queue that holds, of the jobs of one lane, those for the accounts that a worker owns."""
    return f"{queue}-{worker}"


RQ_QUEUES = f"{RQ_PREFIX}:queues"
RQ_WORKERS = f"{RQ_PREFIX}:workers"


def rq_job(job: str) -> str:
    """Hash of one RQ job."""
    return f"{RQ_PREFIX}:job:{job}"


def rq_queue(queue: str) -> str:
    """List of the job ids that wait in an RQ queue."""
    return f"{RQ_PREFIX}:queue:{queue}"


def rq_started(queue: str) -> str:
    """Sorted set of the executions of a queue's jobs that are under way."""
    return f"{RQ_PREFIX}:wip:{queue}"


def rq_finished(queue: str) -> str:
    """Sorted set of a queue's finished job ids."""
    return f"{RQ_PREFIX}:finished:{queue}"


def rq_failed(queue: str) -> str:
    """Sorted set of a queue's failed job ids."""
    return f"{RQ_PREFIX}:failed:{queue}"


def rq_results(job: str) -> str:
    """Stream of the results of one RQ job."""
    return f"{RQ_PREFIX}:results:{job}"


def rq_execution(job: str, execution: str) -> str:
    """Hash of one execution of an RQ job."""
    return f"{RQ_PREFIX}:execution:{job}:{execution}"


def rq_executions(job: str) -> str:
    """Sorted set of the executions of one RQ job."""
    return f"{RQ_PREFIX}:executions:{job}"


def rq_worker(worker: str) -> str:
    """Hash of one RQ worker."""
    return f"{RQ_PREFIX}:worker:{worker}"


def rq_workers_of(queue: str) -> str:
    """Set of the keys of the workers that serve an RQ queue."""
    return f"{RQ_PREFIX}:workers:{queue}"


def rq_worker_executions(worker: str) -> str:
    """Set of the executions that a worker has under way."""
    return f"{RQ_PREFIX}:worker:{worker}:executions"


def webhook_deliveries(endpoint: str) -> str:
    """Stream of the last attempts to deliver to an endpoint."""
    return f"{CONTROL}:webhook-deliveries:{endpoint}"


def webhook_dead_letters(endpoint: str) -> str:
    """Stream of the events that an endpoint did not get and will not."""
    return f"{CONTROL}:webhook-dead:{endpoint}"


def webhook_farewell(endpoint: str, account: str) -> str:
    """Hash of the last event of a deleted account, until an endpoint has it; an endpoint's name has no colon."""
    return f"{CONTROL}:webhook-farewell:{endpoint}:{account}"


def _account(account: str, name: str) -> str:
    # The first closing brace ends a hash tag, so an id has none: what comes after it is the gateway's own.
    tag = account.replace("%", "%25").replace("}", "%7D")
    return f"{{a:{tag}}}:{name}"


def account(account: str) -> str:
    """Hash of one account: settings, state, last error."""
    return _account(account, "record")


def grant(account: str) -> str:
    """Hash of the account's tokens, encrypted."""
    return _account(account, "grant")


def grant_lock(account: str) -> str:
    """Lock of the one refresh that may run for a grant."""
    return _account(account, "grant-lock")


def numbers(account: str) -> str:
    """Hash name -> number of the account's numbering."""
    return _account(account, "numbers")


def numbers_back(account: str) -> str:
    """Hash number -> name of the account's numbering."""
    return _account(account, "numbers-back")


def outbox_entry(account: str, queue_id: str) -> str:
    """Hash of one submission."""
    return _account(account, f"out:{queue_id}")


def outbox_message(account: str, queue_id: str) -> str:
    """The message of one submission, until it is sent."""
    return _account(account, f"out:{queue_id}:message")


def outbox_body(account: str, queue_id: str) -> str:
    """Hash number -> piece of the body of a large message, until it is sent."""
    return _account(account, f"out:{queue_id}:body")


def outbox_of(account: str) -> str:
    """Sorted set of the account's queue ids."""
    return _account(account, "out")


def idempotency(account: str, name: str) -> str:
    """What is known of one idempotency key, named by its SHA-256."""
    return _account(account, f"idempotency:{name}")


def idempotency_of(account: str) -> str:
    """Sorted set of the names of the account's idempotency keys, by the time at which they are forgotten."""
    return _account(account, "idempotency")


def delivery_tests_of(account: str) -> str:
    """Sorted set of the ids of the account's delivery tests by when they were started."""
    return _account(account, "delivery-tests")


def delivery_test(account: str, test: str) -> str:
    """Hash of one delivery test."""
    return _account(account, f"delivery-test:{test}")


def exports_of(account: str) -> str:
    """Sorted set of the account's export ids."""
    return _account(account, "exports")


def export(account: str, export_id: str) -> str:
    """Hash of one export: its record and the number of times that it was written."""
    return _account(account, f"export:{export_id}")


def export_messages(account: str, export_id: str) -> str:
    """Sorted set of the ids of the messages to export, in the order in which they were found."""
    return _account(account, f"export:{export_id}:messages")


def export_content(account: str, export_id: str) -> str:
    """Hash number -> piece of the file of one export, encrypted."""
    return _account(account, f"export:{export_id}:content")


def export_sizes(account: str, export_id: str) -> str:
    """List of the sizes of the pieces of one export before encryption, in octets."""
    return _account(account, f"export:{export_id}:sizes")


def events(account: str) -> str:
    """Stream of the account's events."""
    return _account(account, "events")


def protocol_log(account: str) -> str:
    """Stream of the lines of what went over the account's connections."""
    return _account(account, "protocol-log")


def push(account: str) -> str:
    """What is known of the account's subscription at its service."""
    return _account(account, "push")


def push_hints(account: str) -> str:
    """Set of what the account's service called for."""
    return _account(account, "push-hints")


def live(account: str) -> str:
    """Hash of the owner's epoch, the count of own changes, and the marks of mailboxes that the index may answer for."""
    return _account(account, "live")


def pace(mailbox: str, name: str) -> str:
    """Sorted set of what is sent, waits or is connected, of a mailbox that is known by a digest; not of one account."""
    return f"{{p:{mailbox}}}:{name}"


def boxes(account: str) -> str:
    """Hash path -> record of every mailbox that is synced."""
    return _account(account, "boxes")


def box_order(account: str, box: str) -> str:
    """Sorted set of the message ids of one mailbox by position."""
    return _account(account, f"box:{box}:order")


def box_unseen(account: str, box: str) -> str:
    """Sorted set of the ids of the unseen messages of one mailbox by position."""
    return _account(account, f"box:{box}:unseen")


def box_states(account: str, box: str) -> str:
    """Hash message id -> flags, labels and position."""
    return _account(account, f"box:{box}:states")


def box_entries(account: str, box: str) -> str:
    """Hash message id -> entry of a listing, JSON."""
    return _account(account, f"box:{box}:entries")


def seen(account: str) -> str:
    """HyperLogLog of the Message-IDs that were seen in an account."""
    return _account(account, "seen")


def box_starts(account: str) -> str:
    """Hash batch of messages -> starts of work on it that were not seen to end."""
    return _account(account, "starts")


def bounces(account: str) -> str:
    """Hash of what is known of bounced messages, and of the reports that told of them."""
    return _account(account, "bounces")


def bounce_times(account: str) -> str:
    """Sorted set of the fields of `bounces` by the time of their last report."""
    return _account(account, "bounce-times")


def webhook_progress(account: str, endpoint: str) -> str:
    """Hash of how far an endpoint has come in the account's log."""
    return _account(account, f"hook:{endpoint}")


def webhook_replays(account: str, endpoint: str) -> str:
    """List of log entries that are delivered to an endpoint once more."""
    return _account(account, f"hook-replays:{endpoint}")


def account_pattern(account: str) -> str:
    """Glob that matches every key of one account and none of another's."""
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in _account(account, "")) + "*"
