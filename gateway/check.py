"""Everything that can be wrong with an installation, found at once."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import structs
from redis.exceptions import RedisError, ResponseError

from gateway.errors import GatewayError, InvalidRequestError
from gateway.plugins import Plugins, load_plugins
from gateway.provider import Environment
from gateway.redis import open_client
from gateway.services.container import open_services
from gateway.services.runtime_settings import checked
from gateway.settings import Settings, examine_settings

MINIMUM_REDIS = (6, 2)


async def problems(environment: Mapping[str, str]) -> list[str]:
    """Return one sentence for each problem."""
    settings, found = examine_settings(environment)
    # What is wrong is not looked at any further; its default would only be another thing to wonder about.
    wrong = {line.partition(":")[0] for line in found}
    if not settings.secret_keys and "GATEWAY_SECRET_KEYS" not in wrong:
        found.append("GATEWAY_SECRET_KEYS is not set; `gateway secrets generate` makes a key")
    try:
        checked(settings.runtime_settings)
    except InvalidRequestError as error:
        found.append(f"GATEWAY_SETTINGS: {error.message}")
    plugins = load_plugins(Environment(data_dir=settings.data_dir))
    found += _plugin_problems(plugins)
    urls = {"GATEWAY_REDIS_URL": settings.redis_url}
    if settings.broker_url is not None and settings.broker_url != settings.redis_url:
        urls["GATEWAY_BROKER_URL"] = settings.broker_url
    redis_problems = [
        problem for name, url in urls.items() if name not in wrong for problem in await _redis_problems(name, url)
    ]
    found += redis_problems
    unreachable = wrong & {"GATEWAY_REDIS_URL", "GATEWAY_BROKER_URL"}
    unreachable |= {name for name in urls if any(line.startswith(f"{name}: the server") for line in redis_problems)}
    if not unreachable and "GATEWAY_SERVICE_URL" not in wrong:
        found += await _url_problems(settings, plugins)
    return found


def _plugin_problems(plugins: Plugins) -> list[str]:
    found = [
        f"plugin {info.name} of {info.distribution} {info.version} failed: {info.error}"
        for info in plugins.installed
        if info.error is not None
    ]
    if not plugins.providers:
        found.append("no provider plugin is installed: install at least one of the plugins, e.g. email-gateway-imap")
    return found


async def _redis_problems(name: str, url: str) -> list[str]:
    client = open_client(url)
    try:
        info = await client.info()
        policy = info.get("maxmemory_policy", "noeviction")
    except (RedisError, OSError) as error:
        if isinstance(error, ResponseError):
            return [f"{name}: the server refuses what it is asked; version 6.2 or newer is needed, with every command"]
        return [f"{name}: the server cannot be reached ({type(error).__name__})"]
    finally:
        await client.aclose()
    found = []
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < MINIMUM_REDIS:
        found.append(f"{name}: version {info['redis_version']} is too old, 6.2 is needed")
    if policy != "noeviction":
        found.append(f"{name}: maxmemory-policy is {policy}; with anything but noeviction records would get lost")
    return found


async def _url_problems(settings: Settings, plugins: Plugins) -> list[str]:
    found = []
    # The service URL is not sealed: without a key, any will do to read it.
    opened = settings if settings.secret_keys else structs.replace(settings, secret_keys=(bytes(32),))
    try:
        async with open_services(opened, plugins=plugins) as services:
            prepared = settings.service_url or settings.runtime_settings.get("serviceUrl")
            url = prepared or await services.runtime_settings.get("serviceUrl")
            if not url:
                return ["GATEWAY_SERVICE_URL is not set; users could not be sent to the sign-in form"]
            if not settings.secret_keys:
                return []
            for app in (await services.apps.list(0, 1000)).apps:
                redirect = app.redirect_url
                if redirect is not None and redirect != f"{url}/oauth":
                    where = urlsplit(redirect)._replace(query="", fragment="").geturl()
                    found.append(f"OAuth2 app {app.id}: its redirect URL {where} is not {url}/oauth")
    except GatewayError as error:
        found.append(error.message)
    return found
