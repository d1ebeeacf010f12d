"""``/metrics`` and health over TCP: all of it reads the newest snapshot, nothing asks the driver or changes state."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client.exposition import gzip_accepted

from wan_exporter.access import Access
from wan_exporter.arguments import DEFAULT_MAX_REQUESTS, DEFAULT_TELEMETRY_PATH
from wan_exporter.discovery import Target, discovery
from wan_exporter.documentation import documentation_page
from wan_exporter.exposition import SHARED_SECONDS, Exposition, Latest, group_names
from wan_exporter.landing import landing_page
from wan_exporter.listening import Server
from wan_tui import __version__
from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.core.snapshot import Snapshot

__all__ = ["Latest", "Server", "WebOptions", "create_app", "not_ready", "serve"]

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# An answer must reach Prometheus before it gives up.
TIMEOUT_MARGIN = 0.9
# For those who do not say how long they wait: Prometheus' own default.
TIMEOUT_SECONDS = 10.0
PAGE_POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """``max_requests``: scrapes that are answered at once, 0 for any number; ``targets``: what ``/sd`` lists now."""

    telemetry_path: str = DEFAULT_TELEMETRY_PATH
    max_requests: int = DEFAULT_MAX_REQUESTS
    exporter_metrics: bool = True
    shared_seconds: float = SHARED_SECONDS
    targets: Callable[[], Sequence[Target]] = tuple
    access: Access = field(default_factory=Access)


def create_app(
    latest: Latest, *, telemetry_path: str = DEFAULT_TELEMETRY_PATH, options: WebOptions | None = None
) -> web.Application:
    """The web application around ``latest``, which returns the newest snapshot or None before the first."""
    chosen = options or WebOptions(telemetry_path=telemetry_path)
    path = chosen.telemetry_path

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def ready(_request: web.Request) -> web.Response:
        reason = not_ready(latest(), time.time())
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def landing(_request: web.Request) -> web.Response:
        return _page(landing_page(latest(), version=__version__, telemetry_path=path))

    async def documentation(_request: web.Request) -> web.Response:
        return _page(documentation_page(path))

    async def targets(_request: web.Request) -> web.Response:
        return web.json_response(discovery(chosen.targets(), path, __version__))

    app = web.Application()
    chosen.access.install(app)
    app.router.add_get(path, _Scrapes(latest, chosen).answer)
    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/-/ready", ready)
    app.router.add_get("/docs", documentation)
    app.router.add_get("/sd", targets)
    app.router.add_get("/", landing)
    return app


def _page(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers=PAGE_POLICY)


class _Scrapes:
    """Answers of the telemetry path. More than ``max_requests`` wait, for as long as their scraper does."""

    def __init__(self, latest: Latest, options: WebOptions) -> None:
        self._exposition = Exposition(latest, options.shared_seconds)
        self._groups = group_names(options.exporter_metrics)
        self._slots = asyncio.Semaphore(options.max_requests) if options.max_requests else None

    async def answer(self, request: web.Request) -> web.Response:
        try:
            groups, patience = self._chosen(request), _patience(request.headers.get(TIMEOUT_HEADER))
        except UsageError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        packed = gzip_accepted(request.headers.get("Accept-Encoding", ""))
        try:
            async with asyncio.timeout(patience):
                body, content_type = await self._rendered(request.headers.get("Accept", ""), groups, packed)
        except TimeoutError:
            raise web.HTTPServiceUnavailable(text=f"not ready within {patience:g} s of this scrape\n") from None
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def _rendered(self, accept: str, groups: Sequence[str], packed: bool) -> tuple[bytes, str]:
        if self._slots is None:
            return await self._exposition.render(accept, groups, packed)
        async with self._slots:
            return await self._exposition.render(accept, groups, packed)

    def _chosen(self, request: web.Request) -> tuple[str, ...]:
        """What ``collect[]`` names, or everything that ``exclude[]`` does not. Raises UsageError."""
        wanted, unwanted = (request.query.getall(key, []) for key in ("collect[]", "exclude[]"))
        if wanted and unwanted:
            raise UsageError("collect[] and exclude[] cannot be combined")
        for name in (*wanted, *unwanted):
            if name not in self._groups:
                raise unknown_name("collector", name, self._groups)
        return tuple(name for name in self._groups if (name in wanted if wanted else name not in unwanted))


def _patience(header: str | None) -> float:
    """Seconds within which a scrape must be answered. Raises UsageError."""
    if header is None:
        return TIMEOUT_SECONDS
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 86_400:
        raise UsageError(f"{TIMEOUT_HEADER}: {header!r} is not a number of seconds")
    return seconds * TIMEOUT_MARGIN


def not_ready(snapshot: Snapshot | None, now: float) -> str | None:
    """Why the exporter should not be trusted at ``now``, in one line; None when its snapshot exists and is fresh."""
    if snapshot is None:
        return "no snapshot yet"
    interval = max((poller.interval_seconds for poller in snapshot.pollers), default=0.0)
    age, allowed = now - snapshot.taken_at, 3 * interval + 10
    return None if age < allowed else f"the snapshot is {age:.0f} s old; {allowed:.0f} s are allowed"


async def serve(app: web.Application, listen: str, port: int) -> Server:
    """Serve ``app`` on ``listen`` (empty: every address); port 0 takes a free one. Raises WanTuiError if it cannot."""
    server = await Server.of(app)
    try:
        await server.listen(listen, port)
    except BaseException:
        await server.close()
        raise
    return server
