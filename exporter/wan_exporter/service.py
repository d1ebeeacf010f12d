"""The agent: one engine with its metrics and its control socket, and how it answers signals."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_exporter.access import Access
from wan_exporter.arguments import DEFAULT_MAX_REQUESTS, Address
from wan_exporter.discovery import Target
from wan_exporter.listening import Server, passed_sockets
from wan_exporter.notify import Notifier
from wan_exporter.web import Latest, WebOptions, create_app, not_ready
from wan_tui import __version__
from wan_tui.agent.configuration import Configuration
from wan_tui.agent.messages import API, AgentInfo
from wan_tui.agent.places import AgentLock, Places
from wan_tui.agent.server import Api, ControlSocket
from wan_tui.core.config.settings import Settings
from wan_tui.core.engine import Engine
from wan_tui.core.errors import WanTuiError
from wan_tui.core.paths import config_file
from wan_tui.core.runtime.state import LogEvent
from wan_tui.core.words import LoadState

log = logging.getLogger("wan_exporter")

# What closing takes beyond the jobs: workers that do not end by themselves are killed within this.
CLOSING_SECONDS = 15.0
IDLE_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``background``: a face runs it, so metrics that cannot be served are told and no reason to give up.
    ``auto_started``: nobody asked for it by name, so it may end when it is idle. ``drain_seconds`` None is as
    configured. ``systemd_socket``: serve what systemd passes instead of listening."""

    config: Path | None
    listen: Sequence[Address]
    telemetry_path: str
    web_config: Path | None = None
    systemd_socket: bool = False
    max_requests: int = DEFAULT_MAX_REQUESTS
    exporter_metrics: bool = True
    places: Places
    drain_seconds: float | None
    background: bool
    auto_started: bool


class Service:
    """``await Service(settings, options).run()``: until a signal, or idleness, ends it. Raises WanTuiError.

    ``make_engine`` makes the engine from settings and ``on_log``, ``alongside`` is run beside it.
    """

    def __init__(
        self,
        settings: Settings,
        options: Options,
        *,
        make_engine: Callable[..., Engine] = Engine,
        alongside: Callable[[Engine], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._settings = settings
        self._make_engine = make_engine
        self._alongside = alongside
        self._options = options
        self._notifier = Notifier()
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._end)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload.set)
        with AgentLock(self._options.places):
            await self._run()

    def _end(self) -> None:
        """The first time after what runs, the second time at once."""
        (self._at_once if self._stop.is_set() else self._stop).set()

    async def _run(self) -> None:
        engine = self._make_engine(self._settings, on_log=_write)
        async with contextlib.AsyncExitStack() as stack:
            # Before the engine starts: a taken port then fails at once.
            served, problems = await self._serve_metrics(lambda: engine.latest, stack)
            await stack.enter_async_context(engine)
            for problem in problems:
                engine.log("warning", "exporter", f"no metrics from here: {problem}")
            self._configuration = Configuration(engine, self._settings, self._options.config)
            api = Api(engine, self._info(served), self._configuration)
            await stack.enter_async_context(ControlSocket(api, self._options.places.socket, engine.log))
            log.info("control socket at %s", self._options.places.socket)
            tasks = [
                asyncio.create_task(work)
                for work in (
                    self._ready(engine),
                    self._configuration.check(),
                    self._reloads(self._configuration),
                    self._idle(engine, api),
                    self._watchdog(engine),
                )
            ]
            if self._alongside is not None:
                tasks.append(asyncio.create_task(self._alongside(engine)))
            stack.callback(lambda: [task.cancel() for task in tasks])
            await self._stop.wait()
            await self._drain(engine)

    async def _serve_metrics(
        self, latest: Latest, stack: contextlib.AsyncExitStack
    ) -> tuple[Server, list[WanTuiError]]:
        access = Access(self._options.web_config)
        stack.callback(access.close)
        options = WebOptions(
            telemetry_path=self._options.telemetry_path,
            max_requests=self._options.max_requests,
            exporter_metrics=self._options.exporter_metrics,
            targets=lambda: self._targets(server),
            access=access,
        )
        server = await Server.of(create_app(latest, options=options), access.config.tls)
        stack.push_async_callback(server.close)
        problems = await self._listen(server)
        access.on_change.append(server.apply)
        watching = asyncio.create_task(access.watch())
        stack.callback(watching.cancel)
        for url in server.urls:
            log.info("wan-exporter %s serves %s", __version__, url + options.telemetry_path.removeprefix("/"))
        return server, problems

    async def _listen(self, server: Server) -> list[WanTuiError]:
        """What kept it from listening, where that is no reason to give up. Raises WanTuiError where it is."""
        if self._options.systemd_socket:
            for passed in passed_sockets():
                await server.adopt(passed)
            return []
        problems: list[WanTuiError] = []
        for address in self._options.listen:
            try:
                await server.listen(address.host, address.port)
            except WanTuiError as error:
                if not self._options.background:
                    raise
                problems.append(error)
        return problems

    def _targets(self, server: Server) -> list[Target]:
        """This exporter, at addresses that others can use, and the fleet of the configuration."""
        name = socket.gethostname()
        own = [
            Target(str(Address(host or name, port)), own=True, secure=server.secure) for host, port in server.addresses
        ]
        return [*own, *map(_fleet_target, self._settings.fleet.targets)]

    def _info(self, served: Server) -> AgentInfo:
        file = self._options.config or config_file()
        return AgentInfo(
            api=API,
            version=__version__,
            pid=os.getpid(),
            instance=uuid.uuid4().hex,
            started_at=time.time(),
            config=str(file.resolve()) if file else None,
            auto_started=self._options.auto_started,
            metrics=tuple(url + self._options.telemetry_path.removeprefix("/") for url in served.urls),
        )

    async def _ready(self, engine: Engine) -> None:
        async for _ in engine.snapshots():
            self._notifier.ready("running")
            return

    async def _reloads(self, configuration: Configuration) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._notifier.reloading()
            await configuration.reload()
            self._notifier.ready("running")

    async def _idle(self, engine: Engine, api: Api) -> None:
        """End when nothing is loaded, nothing waits and nobody has looked for as long as configured."""
        busy_at = time.monotonic()
        while self._options.auto_started:
            await asyncio.sleep(IDLE_LOOK_SECONDS)
            patience, snapshot = self._configuration.settings.agent.idle_exit_seconds, engine.latest
            up = snapshot is None or any(
                deployment.state not in (LoadState.UNLOADED, LoadState.FAILED) for deployment in snapshot.deployments
            )
            if up or (snapshot and any(not job.state.ended for job in snapshot.jobs)):
                busy_at = time.monotonic()
            quiet = min(api.quiet_seconds, time.monotonic() - busy_at)
            if patience and quiet >= patience:
                engine.log("info", "agent", f"idle for {quiet:.0f} s: it ends")
                self._stop.set()
                return

    async def _watchdog(self, engine: Engine) -> None:
        """Only an engine that publishes is alive."""
        while self._notifier.watchdog_seconds is not None:
            if engine.latest is None or not_ready(engine.latest, time.time()) is None:
                self._notifier.alive()
            await asyncio.sleep(self._notifier.watchdog_seconds)

    async def _drain(self, engine: Engine) -> None:
        chosen = self._options.drain_seconds
        patience = self._configuration.settings.agent.drain_seconds if chosen is None else chosen
        self._notifier.stopping(patience + CLOSING_SECONDS)
        log.info("stopping; what runs has %g s to finish", patience)
        draining = asyncio.create_task(engine.drain(patience))
        at_once = asyncio.create_task(self._at_once.wait())
        await asyncio.wait({draining, at_once}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, at_once):
            task.cancel()
        await asyncio.gather(draining, at_once, return_exceptions=True)


def _fleet_target(text: str) -> Target:
    scheme, _, address = text.rpartition("://")
    return Target(address, own=False, secure=scheme == "https")


_LEVELS: dict[str, Callable[..., None]] = {"warning": log.warning, "error": log.error}


def _write(event: LogEvent) -> None:
    """The engine's log goes to the log of the process too."""
    _LEVELS.get(event.level, log.info)("%s: %s", event.source, event.message)
