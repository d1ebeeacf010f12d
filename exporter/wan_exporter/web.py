"""``/metrics`` and health over TCP: all of it reads the newest snapshot, nothing asks the driver or changes state."""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from wan_exporter.arguments import DEFAULT_TELEMETRY_PATH
from wan_exporter.collector import SnapshotCollector
from wan_exporter.landing import landing_page
from wan_tui import __version__
from wan_tui.core.errors import WanTuiError
from wan_tui.core.snapshot import Snapshot

Latest = Callable[[], Snapshot | None]


def create_app(latest: Latest, *, telemetry_path: str = DEFAULT_TELEMETRY_PATH) -> web.Application:
    """The web application around ``latest``, which returns the newest snapshot or None before the first."""
    registry = _registry(latest)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = _encoder(request.headers.get("Accept", ""))
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        response = web.Response(body=encode(registry), headers=headers)
        if gzip_accepted(request.headers.get("Accept-Encoding", "")):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def ready(_request: web.Request) -> web.Response:
        reason = not_ready(latest(), time.time())
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def landing(_request: web.Request) -> web.Response:
        page = landing_page(latest(), version=__version__, telemetry_path=telemetry_path)
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(text=page, content_type="text/html", headers=policy)

    app = web.Application()
    app.router.add_get(telemetry_path, metrics)
    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/-/ready", ready)
    app.router.add_get("/", landing)
    return app


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """prometheus_client's choice between text and OpenMetrics; plain text for a version that it cannot compare."""
    try:
        return choose_encoder(accept)
    except TypeError:
        return choose_encoder("")


def not_ready(snapshot: Snapshot | None, now: float) -> str | None:
    """Why the exporter should not be trusted at ``now``, in one line; None when its snapshot exists and is fresh."""
    if snapshot is None:
        return "no snapshot yet"
    interval = max((poller.interval_seconds for poller in snapshot.pollers), default=0.0)
    age, allowed = now - snapshot.taken_at, 3 * interval + 10
    return None if age < allowed else f"the snapshot is {age:.0f} s old; {allowed:.0f} s are allowed"


def _registry(latest: Latest) -> CollectorRegistry:
    """A registry of its own: the snapshot, and prometheus_client's figures about this process."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(latest))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@dataclass(frozen=True, slots=True)
class Server:
    """A listening server. ``host`` is empty when it listens on every address; ``port`` is the real one."""

    runner: web.AppRunner
    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host or 'localhost'}:{self.port}/"

    async def close(self) -> None:
        await self.runner.cleanup()


async def serve(app: web.Application, listen: str, port: int) -> Server:
    """Serve ``app`` on ``listen`` (empty: every address); port 0 takes a free one. Raises WanTuiError if it cannot."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, listen or None, port).start()
    except OSError as error:
        await runner.cleanup()
        raise WanTuiError(_cannot_listen(listen, port, error)) from None
    # Port 0 on every address gives IPv4 and IPv6 one each: name that of IPv4, whose address has fewer parts.
    return Server(runner, listen, int(min(runner.addresses, key=len)[1]))


def _cannot_listen(listen: str, port: int, error: OSError) -> str:
    where = f"{listen or 'every address'} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"cannot serve metrics on {where}: the port is taken; stop what uses it or choose another port"
    if error.errno == errno.EACCES:
        return f"cannot serve metrics on {where}: not permitted; choose a port above 1023"
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    return f"cannot serve metrics on {where}: {reason}"
