"""The engine: polls the hardware, runs the deployments, publishes snapshots. One per host."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from wan_tui import __version__
from wan_tui.core.alerts.watch import AlertWatch
from wan_tui.core.broadcast import Latest
from wan_tui.core.catalog import Catalogue, load_catalogue
from wan_tui.core.catalog.quality import described
from wan_tui.core.config import Settings
from wan_tui.core.describing import summary_of
from wan_tui.core.errors import unknown_name
from wan_tui.core.hardware.nvml import NvmlProbe
from wan_tui.core.hardware.poller import Poller
from wan_tui.core.hardware.probe import GpuProbe
from wan_tui.core.hardware.processes import ProcessDetail, describe
from wan_tui.core.hardware.samples import DriverStatus, HardwareSample, HostSample
from wan_tui.core.hardware.trace import GpuTrace, GpuTraces
from wan_tui.core.history import History
from wan_tui.core.host_reading import HostReader
from wan_tui.core.logs import AGENT, LogPage, Logs
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.planning.questions import Assessment, Question
from wan_tui.core.runtime.deployment import Launcher
from wan_tui.core.runtime.launcher import LocalLauncher
from wan_tui.core.runtime.leftovers import whole_videos
from wan_tui.core.runtime.manager import Manager
from wan_tui.core.runtime.past import MAX_PAGE, PastFilter, PastPage
from wan_tui.core.runtime.past_pages import read_page, read_text
from wan_tui.core.runtime.queue_store import QueueStore, queue_file
from wan_tui.core.runtime.state import EventLog, Job, LogEvent
from wan_tui.core.runtime.timeline import Timeline
from wan_tui.core.snapshot import ConfigStatus, ModelFiles, ProfileSummary, Snapshot
from wan_tui.core.validation.environment import Libraries, installed_libraries
from wan_tui.core.validation.findings import Finding
from wan_tui.core.validation.missing_files import files_of_models

EVENTS_KEPT = 200
# Changes within this time become one snapshot: a burst of worker events does not become a burst of snapshots.
PUBLISH_INTERVAL_SECONDS = 0.05
ALERT_INTERVAL_SECONDS = 1.0


class Engine:
    """``async with Engine(settings) as engine``: runs until the block is left, then stops every worker.

    ``load_wanted`` False leaves deployments unloaded that the configuration wants loaded (to look, not to run).
    ``gpu_probe``, ``host``, ``libraries`` and ``launcher`` are for another host than this one: a simulated one.

    Commands raise WanTuiError (UsageError for bad input) and return at once; what they cause shows in snapshots, and
    the newest snapshot knows of a command as soon as it has returned.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        load_wanted: bool = True,
        gpu_probe: GpuProbe | None = None,
        host: Callable[[], HostSample] | None = None,
        libraries: Libraries = installed_libraries,
        launcher: Launcher | None = None,
        on_log: Callable[[LogEvent], None] | None = None,
        catalogue: Catalogue | None = None,
        publish_interval_seconds: float = PUBLISH_INTERVAL_SECONDS,
    ) -> None:
        self._settings = settings
        self._load_wanted = load_wanted
        self._publish_interval_seconds = publish_interval_seconds
        self._catalogue = catalogue or load_catalogue()
        self._gpu_probe = gpu_probe or NvmlProbe(settings.polling.deadline_seconds)
        self._launcher = launcher or LocalLauncher()
        self._on_log = on_log
        self._libraries = libraries
        self._host_reader = HostReader(settings, self._catalogue, host)
        self._polling = asyncio.Lock()
        self._judging = asyncio.Lock()
        self._pollers = {name: Poller(name, settings.polling.interval_seconds) for name in ("nvml", "host", "manager")}
        self._hardware = HardwareSample(DriverStatus(present=False, up=False, message="not read yet"))
        self._host: HostSample | None = None
        self._gpus_at_start: int | None = None
        self._checkpoints: Mapping[str, Path | None] = {}
        self._problems: dict[str, str | None] = {}
        self._events: deque[LogEvent] = deque(maxlen=EVENTS_KEPT)
        self._dropped_events = 0
        self._models = tuple(summary_of(model) for model in self._catalogue.models)
        self._model_files: tuple[ModelFiles, ...] = ()
        self._profiles = _profiles(settings)
        self._snapshots: Latest[Snapshot] = Latest()
        self._dirty = asyncio.Event()
        self._number = 0
        self._assessed = False
        self._started_at = time.time()
        self._traces = GpuTraces()
        self._logs = Logs()
        self._alerts = AlertWatch()
        self._alerts_looked_at = 0.0
        self._config = ConfigStatus(last_success_at=self._started_at)
        self._tasks: list[asyncio.Task[None]] = []
        self._queue_store: QueueStore | None = None
        self._left_behind: list[Job] = []
        self._whole: Mapping[str, Path] = {}

    async def __aenter__(self) -> "Engine":
        self._history = await asyncio.to_thread(History, self._settings.paths.history)
        if self._load_wanted:  # who only looks leaves the queue to whoever runs it
            path = queue_file(self._settings.paths.history)
            self._queue_store = await asyncio.to_thread(QueueStore, path, self._history.writing)
            self._left_behind = await asyncio.to_thread(self._queue_store.jobs)
            self._whole = await asyncio.to_thread(whole_videos, self._left_behind)
        self._manager = Manager(
            self._settings,
            self._catalogue,
            self._launcher,
            self._history,
            self.log,
            self._dirty.set,
            self._queue_store,
            self._libraries,
        )
        self._manager.listen_to_workers(lambda name, line: self._logs.add(f"worker {name}", line))
        logging.getLogger().addHandler(self._logs.handler)
        self.log("info", "engine", f"wan-tui {__version__} started")
        self._tasks = [asyncio.create_task(loop) for loop in (self._poll(), self._validate(), self._publish())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._manager.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._publish_now()
        logging.getLogger().removeHandler(self._logs.handler)
        self._snapshots.close()
        self._gpu_probe.close()
        await asyncio.to_thread(self._history.close)
        if self._queue_store is not None:
            self._queue_store.close()

    @property
    def latest(self) -> Snapshot | None:
        """The newest snapshot, None until the first poll is done."""
        return self._snapshots.value

    def snapshots(self) -> AsyncIterator[Snapshot]:
        """The newest snapshot, then every newer one; a slow reader skips to the newest."""
        return self._snapshots.values()

    async def load(self, deployment: str) -> None:
        await self._first_poll()
        await self._manager.load(deployment)
        self._publish_now()

    async def unload(self, deployment: str) -> None:
        await self._manager.unload(deployment)
        self._publish_now()

    async def generate(self, request: GenerationRequest) -> str:
        await self._first_poll()
        job = await self._manager.generate(request)
        self._publish_now()
        return job

    async def cancel(self, job: str) -> None:
        await self._manager.cancel(job)
        self._publish_now()

    async def assess(self, questions: Sequence[Question]) -> tuple[Assessment, ...]:
        """What would be, one answer for each question: a query, which changes nothing."""
        await self._first_poll()
        return await self._manager.answer(questions)

    async def move(self, job: str, by: int) -> None:
        self._manager.move(job, by)
        self._publish_now()

    async def remove(self, job: str) -> None:
        self._manager.remove(job)
        self._publish_now()

    async def gpu_history(self, uuid: str) -> GpuTrace:
        """The last hour of one GPU. Raises UsageError for one that was never seen."""
        if (trace := self._traces.of(uuid)) is None:
            raise unknown_name("GPU", uuid, self._traces.known)
        return trace

    async def gpu_processes(self, uuid: str) -> tuple[ProcessDetail, ...]:
        """Who holds memory on one GPU. Raises UsageError for one that is not known."""
        gpu = next((gpu for gpu in self._hardware.gpus if gpu.uuid == uuid), None)
        if gpu is None:
            raise unknown_name("GPU", uuid, [gpu.uuid for gpu in self._hardware.gpus])
        return await asyncio.to_thread(describe, [process.pid for process in gpu.processes or ()])

    async def logs(self, source: str, after: int = 0) -> LogPage:
        """The newest lines of ``agent`` or ``worker NAME``. Raises UsageError for one that said nothing yet."""
        return self._logs.page(source, after)

    async def past(self, chosen: PastFilter, before: str | None = None, limit: int = MAX_PAGE) -> PastPage:
        """A page of the history. Raises WanTuiError."""
        return await asyncio.to_thread(read_page, self._settings.paths.history, chosen, before=before, limit=limit)

    async def past_text(self, chosen: PastFilter, form: str) -> str:
        """All that ``chosen`` lets through, as ``csv`` or ``json``. Raises WanTuiError."""
        return await asyncio.to_thread(read_text, self._settings.paths.history, chosen, form)

    async def pin(self, deployment: str, *, pinned: bool) -> None:
        """Keep a deployment loaded until it is unpinned (loading it if need be), or leave it to its keep-alive."""
        await self._first_poll()
        await self._manager.pin(deployment, pinned=pinned)
        self._publish_now()

    async def validate(self, deployment: str | None = None) -> None:
        """Evaluate every rule now, for one deployment or for all. Raises UsageError for an unknown name."""
        await self._first_poll()
        self._manager.want_validation(deployment)

    async def timeline(self, deployment: str) -> Timeline:
        """The device memory of a deployment over the last hour: a query, which changes nothing."""
        return self._manager.timeline(deployment)

    def configuration_checked(
        self, file: str, findings: tuple[Finding, ...], fixable: bool, *, exists: bool = True
    ) -> None:
        """Tell what the rules say about the file that the settings come from."""
        self._config = dataclasses.replace(self._config, file=file, findings=findings, fixable=fixable, exists=exists)
        self._publish_now()

    async def reload(self, settings: Settings) -> None:
        """Take up another configuration; what it does not change goes on untouched."""
        await self._first_poll()
        async with self._polling, self._judging:
            self._settings = settings
            self._profiles = _profiles(settings)
            self._host_reader.use(settings)
            for poller in self._pollers.values():
                poller.interval_seconds = settings.polling.interval_seconds
            host, self._checkpoints = await asyncio.to_thread(self._host_reader.read)
            self._host = host
            found = await self._manager.reload(settings, host, self._checkpoints)
        self._config = dataclasses.replace(
            self._config, last_reload_successful=True, last_success_at=time.time(), problem=None
        )
        self.log("info", "config", f"reloaded: {found}")
        self._publish_now()

    def reload_failed(self, problem: str) -> None:
        """Tell that a new configuration cannot be used; the one before applies."""
        self._config = dataclasses.replace(self._config, last_reload_successful=False, problem=problem)
        self.log("error", "config", f"not reloaded, the configuration before still applies: {problem}")
        self._publish_now()

    async def drain(self, patience_seconds: float) -> None:
        """Take nothing new and let what runs finish within ``patience_seconds``."""
        await self._manager.drain(patience_seconds)
        self._publish_now()

    def log(self, level: str, source: str, message: str) -> None:
        """Add a line to the bounded event log; ``level`` is info, warning or error."""
        self._dropped_events += len(self._events) == EVENTS_KEPT
        event = LogEvent(time.time(), level, source, message)
        self._events.append(event)
        if self._on_log is not None:
            self._on_log(event)
        else:
            self._logs.add(AGENT, f"{source}: {message}", level, event.at)
        self._dirty.set()

    async def _first_poll(self) -> None:
        """Nothing can be placed before the hardware was read once."""
        async for _ in self.snapshots():
            return

    async def _poll(self) -> None:
        judging: asyncio.Task[None] | None = None
        try:
            while True:
                started, interval = time.monotonic(), self._settings.polling.interval_seconds
                async with self._polling:
                    await asyncio.gather(
                        self._pollers["nvml"].run(self._poll_gpus), self._pollers["host"].run(self._poll_host)
                    )
                if self._host is not None and (judging is None or judging.done()):
                    judging = asyncio.create_task(self._pollers["manager"].run(self._assess))
                if judging is not None:
                    # Planning for many cards, or reading a slow driver, may take longer than the interval: then neither
                    # the next samples nor those who look at these wait for it.
                    rest = interval - (time.monotonic() - started)
                    _, planning = await asyncio.wait({judging}, timeout=max(PUBLISH_INTERVAL_SECONDS, rest))
                    if planning:
                        self._dirty.set()
                self._report_problems()
                await asyncio.sleep(max(0.0, interval - (time.monotonic() - started)))
        finally:
            if judging is not None:
                judging.cancel()

    async def _validate(self) -> None:
        """Every rule for every deployment: at the start, when a checkpoint came or went, and every few minutes."""
        await self._first_poll()
        while True:
            assert self._host is not None
            with contextlib.suppress(OSError):  # a folder that may not be looked into is told by the rules
                self._model_files = await asyncio.to_thread(files_of_models, self._settings, self._catalogue)
            await self._manager.validate(self._hardware.driver, self._host)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.validation.interval_seconds):
                    await self._manager.validation_due.wait()

    async def _poll_gpus(self) -> bool:
        before = self._hardware
        self._hardware = await self._gpu_probe.sample()
        self._report_changes(before, self._hardware)
        self._traces.add(self._hardware.gpus, time.time())
        driver = self._hardware.driver
        if self._gpus_at_start is None and driver.up:
            self._gpus_at_start = len(self._hardware.gpus)
        return driver.up or not driver.present

    async def _poll_host(self) -> bool:
        self._host, self._checkpoints = await asyncio.to_thread(self._host_reader.read)
        return True

    async def _assess(self) -> bool:
        assert self._host is not None
        first = not self._assessed
        async with self._judging:
            await self._manager.assess(self._hardware, self._host, self._checkpoints)
        self._assessed = True
        if first and self._load_wanted:
            self._manager.load_wanted()
            self._manager.resume(self._left_behind, self._whole)
        return True

    @property
    def _gpus_expected(self) -> int | None:
        declared = self._settings.polling.expected_gpus
        return self._gpus_at_start if declared is None else declared

    def _report_changes(self, before: HardwareSample, now: HardwareSample) -> None:
        if now.driver.message != before.driver.message:
            level = "info" if now.driver.up or not now.driver.present else "error"
            self.log(level, "nvml", now.driver.message)
        was_up = {gpu.uuid: gpu.up for gpu in before.gpus}
        for gpu in now.gpus:
            if gpu.up != was_up.get(gpu.uuid, True):
                message = "answers again" if gpu.up else f"lost: {gpu.error}"
                self.log("info" if gpu.up else "error", f"gpu:{gpu.index}", f"{gpu.name} {message}")

    def _report_problems(self) -> None:
        """Tell once what keeps a poller or the history from working, and once when it is over."""
        problems = {name: poller.problem for name, poller in self._pollers.items()} | {"history": self._history.problem}
        problems["queue"] = self._queue_store.problem if self._queue_store else None
        for name, problem in problems.items():
            if problem != self._problems.get(name):
                self.log("warning" if problem else "info", name, problem or "works again")
        self._problems = problems

    async def _publish(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._publish_now()
            await asyncio.sleep(self._publish_interval_seconds)

    def _publish_now(self) -> None:
        if self._host is None or not self._assessed:
            return
        self._number += 1
        snapshot = Snapshot(
            number=self._number,
            taken_at=time.time(),
            started_at=self._started_at,
            version=__version__,
            host=self._host,
            driver=self._hardware.driver,
            gpus=self._hardware.gpus,
            models=self._models,
            profiles=self._profiles,
            deployments=self._manager.statuses(),
            jobs=self._manager.queue.jobs,
            log=EventLog(tuple(self._events), self._dropped_events),
            pollers=tuple(poller.status() for poller in self._pollers.values()),
            output_directory=str(self._settings.paths.outputs),
            config=self._config,
            alerts=self._alerts.firing,
            gpus_expected=self._gpus_expected,
            model_files=self._model_files,
        )
        if snapshot.taken_at - self._alerts_looked_at >= ALERT_INTERVAL_SECONDS:
            self._alerts_looked_at = snapshot.taken_at
            snapshot = dataclasses.replace(snapshot, alerts=self._alerts.look(snapshot))
        self._snapshots.publish(snapshot)


def _profiles(settings: Settings) -> tuple[ProfileSummary, ...]:
    return tuple(ProfileSummary(name, described(one), one.cpu_only) for name, one in settings.known_profiles.items())
