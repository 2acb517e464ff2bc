"""An email gateway: one REST API in front of many kinds of mailbox.

A client app calls the API (`gateway.api`). A call that needs a mail server becomes a job (`gateway.queue`) that a
worker (`gateway_workers`) runs on the account's warm connection, through a provider plugin (`gateway.provider` is the
contract, `gateway.plugins` finds them). All state is in Redis (`gateway.store`). Users sign in through hosted pages
(`gateway.web`); what the pages, the API and the workers do with accounts, tokens and mail is in `gateway.services`.

Who may import whom, downwards only::

    cli > dev | demo | check | tail > embedded_redis > supervision > app | inbound | msa > listening | receiving
        > api | web | testing > services > queue | store | mime | templating | http | plugins > smtp > hookspecs
        > redis > provider > model > logs > settings > errors

For plugin authors the public modules are `gateway`, `gateway.provider`, `gateway.errors`, `gateway.model`,
`gateway.mime`, `gateway.smtp` and, in tests, `gateway.testing`.
"""

from __future__ import annotations

import pluggy

__version__ = "0.1.0"

hookimpl = pluggy.HookimplMarker("gateway")
