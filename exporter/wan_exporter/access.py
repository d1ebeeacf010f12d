"""Who may ask, how often, and with which headers they are answered: the web configuration applied to requests."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from wan_exporter.basic_auth import Answer, BasicAuth
from wan_exporter.tls import alternative_names
from wan_exporter.web_config import PLAIN, WebConfig, load_web_config, signature
from wan_tui.core.errors import WanTuiError

log = logging.getLogger("wan_exporter")

LOOK_SECONDS = 1.0
"""How often the file and its certificates are looked at for changes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access:
    """The web configuration that applies now. ``on_change`` are told of each new one.

    A changed file that is wrong is told once, in the log, and the one before goes on applying: a typing error must
    neither open the exporter nor silence its metrics.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Raises WanTuiError for a file that cannot be used."""
        self.file = file
        self.config = PLAIN if file is None else load_web_config(file)
        self.problem: str | None = None
        self.on_change: list[Callable[[WebConfig], None]] = []
        self._seen = signature(self.config.files)
        self._auth = BasicAuth()
        self._bucket = _Bucket()

    def install(self, app: web.Application) -> None:
        """Guard every request of ``app``, whatever its path, and set the headers of every answer."""
        app.middlewares.append(self._guard)
        app.on_response_prepare.append(self._set_headers)

    async def watch(self) -> None:
        """Take up changes, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take up a change of the file or of a certificate, if there is one."""
        if self.file is None:
            return
        found = await asyncio.to_thread(signature, self.config.files)
        if found == self._seen:
            return
        self._seen = found
        try:
            config = await asyncio.to_thread(load_web_config, self.file)
        except WanTuiError as error:
            self.problem = str(error)
            log.error("web configuration not taken up, the one before still applies: %s", error)
            return
        self._seen = await asyncio.to_thread(signature, config.files)
        self.config, self.problem = config, None
        log.info("web configuration %s was read again", self.file)
        for tell in self.on_change:
            tell(config)

    def close(self) -> None:
        self._auth.close()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        config = self.config
        if config.rate_interval_seconds and not self._bucket.take(config.rate_interval_seconds, config.rate_burst):
            raise web.HTTPTooManyRequests(text="too many requests\n")
        if config.allowed_sans and not config.allowed_sans & _peer_names(request):
            raise web.HTTPForbidden(text="the client certificate has none of the names that are let in\n")
        if config.users:
            answer = await self._auth.check(request.headers.get("Authorization", ""), config.users)
            if answer is Answer.BUSY:
                raise web.HTTPTooManyRequests(text="too many passwords at once\n", headers={"Retry-After": "1"})
            if answer is Answer.WRONG:
                challenge = {"WWW-Authenticate": 'Basic realm="wan-exporter", charset="UTF-8"'}
                raise web.HTTPUnauthorized(text="user and password are needed\n", headers=challenge)
        return await handler(request)

    async def _set_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self.config.headers)


def _peer_names(request: web.Request) -> frozenset[str]:
    transport = request.transport
    return alternative_names(None if transport is None else transport.get_extra_info("peercert"))


class _Bucket:
    """A token bucket: one token per interval, at most ``burst`` of them kept."""

    def __init__(self) -> None:
        self._tokens: float | None = None
        self._at = 0.0

    def take(self, interval_seconds: float, burst: int) -> bool:
        now = time.monotonic()
        before = float(burst) if self._tokens is None else self._tokens
        tokens = min(float(burst), before + (now - self._at) / interval_seconds)
        taken = tokens >= 1
        self._tokens, self._at = tokens - taken, now
        return taken
