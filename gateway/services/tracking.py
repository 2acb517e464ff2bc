"""Whether a sent message is opened, and which of its links are followed: off unless somebody asks for it.

Links of the HTML lead over this gateway, and a picture of one point comes from it. What links stand for is in them,
signed: nothing is stored, and they lead nowhere but where the sender wanted.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from gateway.mime.html_text import html_to_text
from gateway.mime.html_tokens import with_attributes
from gateway.model.event import TrackData
from gateway.model.submission import SubmitRequest
from gateway.services.callers import Caller
from gateway.services.events import EventService
from gateway.services.outgoing import new_message_id
from gateway.services.runtime_settings import RuntimeSettingsService, origin
from gateway.services.signed_link import read_signed, signed_link
from gateway.store.accounts import AccountConfig

_OPENED, _FOLLOWED = b"gateway.opened", b"gateway.followed"
_SETTINGS = ("trackOpens", "trackClicks", "trackSentMessages")

_BODY_END = re.compile("</body", re.IGNORECASE)

#: Characters of a link; longer ones stay as they are, as browsers and proxies refuse much longer addresses.
_LONGEST = 2000


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A message, and where a link in it leads."""

    account: str = msgspec.field(name="a")
    message_id: str = msgspec.field(name="m")
    url: str | None = msgspec.field(name="u", default=None)

    def __repr__(self) -> str:
        return "Sent()"


class TrackingService:
    """Puts tracking into messages, and tells what recipients do."""

    def __init__(self, *, settings: RuntimeSettingsService, events: EventService) -> None:
        self._settings = settings
        self._events = events

    async def tracked(self, config: AccountConfig, request: SubmitRequest) -> SubmitRequest:
        """Return a request with tracking in its HTML, where it or the settings ask for that.

        Finished messages (`raw`) and those without HTML are never changed.

        Raises:
            InvalidRequestError: `base_url` is no address.
            MissingSettingError: there is neither a `base_url` nor the setting serviceUrl.
        """
        if request.html is None or request.raw is not None:
            return request
        defaults = await self._settings.many(_SETTINGS)
        opens, clicks = (
            next((wish for wish in (asked, default, defaults["trackSentMessages"]) if wish is not None), False)
            for asked, default in (
                (request.track_opens, defaults["trackOpens"]),
                (request.track_clicks, defaults["trackClicks"]),
            )
        )
        if not opens and not clicks:
            return request
        root = await self._settings.service_url() if request.base_url is None else origin(request.base_url, "baseUrl")
        key = await self._settings.service_secret()
        message = Sent(account=config.account, message_id=request.message_id or new_message_id(config, request))
        html = request.html
        if clicks:
            html = with_attributes(
                html,
                lambda element, name, value: (
                    _followed(root, key, message, value) if (element, name) == ("a", "href") else None
                ),
            )
        if opens:
            html = _with_picture(html, signed_link(f"{root}/open.gif", key, _OPENED, message))
        # The text is made of the HTML as it was written: links in it are there to be read.
        text = request.text if request.text is not None else html_to_text(request.html)
        return msgspec.structs.replace(request, html=html, text=text, message_id=message.message_id)

    async def opened(self, data: str, sig: str, caller: Caller) -> None:
        """Tell that a message was opened.

        Raises:
            RequestError: the link is forged or damaged (code InvalidLink).
        """
        message = read_signed(await self._settings.service_secret(), _OPENED, data, sig, Sent)
        await self._tell("trackOpen", message, caller)

    async def followed(self, data: str, sig: str, caller: Caller) -> str:
        """Tell that a link was followed, and return where it leads.

        Raises:
            RequestError: the link is forged or damaged (code InvalidLink).
        """
        message = read_signed(await self._settings.service_secret(), _FOLLOWED, data, sig, Sent)
        await self._tell("trackClick", message, caller)
        return message.url or "/"

    async def _tell(self, name: Literal["trackOpen", "trackClick"], message: Sent, caller: Caller) -> None:
        told = TrackData(
            message_id=message.message_id,
            url=message.url,
            remote_address=caller.remote_address,
            user_agent=caller.user_agent,
        )
        await self._events.append(message.account, [self._events.make(name, message.account, told)])


def _followed(root: str, key: bytes, message: Sent, url: str) -> str | None:
    """Return the link that leads to `url` by way of the gateway; None for what is no web page, or the gateway's own."""
    if not url.lower().startswith(("http://", "https://")):
        return None
    if url.startswith((f"{root}/unsubscribe?", f"{root}/redirect?")):
        return None
    link = signed_link(f"{root}/redirect", key, _FOLLOWED, msgspec.structs.replace(message, url=url.strip()))
    return link if len(link) <= _LONGEST else None


def _with_picture(html: str, address: str) -> str:
    picture = f'<img src="{address.replace("&", "&amp;")}" alt="" width="1" height="1" style="border:0" />'
    ends = [found.start() for found in _BODY_END.finditer(html)]
    at = ends[-1] if ends else len(html)
    return html[:at] + picture + html[at:]
