"""Brings deployments from one configuration to another while they run."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from wan_tui.core.catalog import Catalogue
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.hardware.samples import HostSample
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.loading import Loader, Log
from wan_tui.core.runtime.reloading import Changes
from wan_tui.core.words import LoadState, UnloadCause, Verdict


def new_deployment(name: str, settings: Settings, catalogue: Catalogue) -> Deployment:
    """The replica ``name`` of ``settings``, not loaded and not judged yet."""
    wanted = settings.replicas[name]
    return Deployment(
        name=name,
        settings=wanted,
        model=catalogue.find(wanted.model),
        compatibility=Compatibility(verdict=Verdict.UNKNOWN, reason="the hardware has not been read yet"),
        wanted_loaded=wanted.wanted_loaded,
        queue=settings.queues[name],
    )


class Rebuilder:
    """Changes ``deployments`` in place. ``assess`` judges one, ``unload`` is the operator's command."""

    def __init__(
        self,
        deployments: dict[str, Deployment],
        catalogue: Catalogue,
        queue: JobQueue,
        loader: Loader,
        assess: Callable[[Deployment, HostSample], Awaitable[None]],
        unload: Callable[[str], Awaitable[None]],
        log: Log,
        changed: Callable[[], None],
    ) -> None:
        self._deployments = deployments
        self._catalogue = catalogue
        self._queue = queue
        self._loader = loader
        self._assess = assess
        self._unload = unload
        self._log = log
        self._changed = changed
        self._closing = False
        self._leaving: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def apply(self, found: Changes, settings: Settings, host: HostSample) -> None:
        """Begin everything that ``found`` asks for; what has to wait for a worker goes on in the background."""
        for name in found.removed:
            self._begin(self._remove(self._deployments[name]))
        for name in found.rebuilt:
            self._begin(self._rebuild(self._deployments[name], settings.replicas[name], host))
        for name in found.adjusted:
            self._adjust(self._deployments[name], settings.replicas[name])
        for name in found.added:
            if name in self._leaving:  # removed a moment ago and back again
                await self._settled(self._deployments[name])
            deployment = self._deployments[name] = new_deployment(name, settings, self._catalogue)
            await self._assess(deployment, host)
            if deployment.wanted_loaded:
                deployment.pinned = True
                self._loader.begin_load(deployment)

    def close(self) -> None:
        """Begin nothing more."""
        self._closing = True
        for task in self._tasks:
            task.cancel()

    async def _remove(self, deployment: Deployment) -> None:
        self._leaving.add(deployment.name)
        try:
            await self._unload(deployment.name)
            await self._settled(deployment)
            if self._deployments[deployment.name] is deployment:
                del self._deployments[deployment.name]
        finally:
            self._leaving.discard(deployment.name)
        self._log("info", deployment.name, "removed: it is no longer configured")
        self._changed()

    async def _rebuild(self, deployment: Deployment, wanted: DeploymentSettings, host: HostSample) -> None:
        was_up = deployment.state in (LoadState.LOADING, LoadState.LOADED)
        if was_up:
            self._log("info", deployment.name, "configured otherwise: its worker ends")
            self._loader.begin_unload(deployment, UnloadCause.RECONFIGURED)
        await self._settled(deployment)
        deployment.model = self._catalogue.find(wanted.model)
        again = wanted.wanted_loaded or (was_up and deployment.pinned) or bool(self._queue.queued(deployment.name))
        self._adjust(deployment, wanted, load=False)
        await self._assess(deployment, host)
        if again and not self._closing and deployment.state in (LoadState.UNLOADED, LoadState.FAILED):
            deployment.vitals.restarts.clear()
            self._loader.begin_load(deployment)
        self._changed()

    def _adjust(self, deployment: Deployment, wanted: DeploymentSettings, *, load: bool = True) -> None:
        before, deployment.settings = deployment.settings, wanted
        if before.wanted_loaded == wanted.wanted_loaded:
            return
        # No longer wanted is not unwanted: its keep-alive decides when it goes.
        deployment.pinned = wanted.wanted_loaded
        deployment.wanted_loaded = wanted.wanted_loaded or deployment.state is LoadState.LOADED
        if load and wanted.wanted_loaded and deployment.state in (LoadState.UNLOADED, LoadState.FAILED):
            self._loader.begin_load(deployment)

    @staticmethod
    async def _settled(deployment: Deployment) -> None:
        if deployment.state in (LoadState.LOADING, LoadState.UNLOADING):
            await deployment.settled.wait()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
