"""The engine inside this process, on a thread and an event loop of its own.

A face that stops (a terminal that no longer reads) must not stop the engine, so the two never share a loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wan_tui.core.broadcast import Latest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from types import TracebackType

    from wan_tui.agent.changes import Change, ChangePreview
    from wan_tui.core.config import Settings
    from wan_tui.core.engine import Engine
    from wan_tui.core.folder import Folder
    from wan_tui.core.hardware.processes import ProcessDetail
    from wan_tui.core.hardware.trace import GpuTrace
    from wan_tui.core.logs import LogPage
    from wan_tui.core.planning.plan import GenerationRequest
    from wan_tui.core.planning.questions import Assessment, Question
    from wan_tui.core.reel import Reel
    from wan_tui.core.runtime.past import PastFilter, PastPage
    from wan_tui.core.runtime.timeline import Timeline
    from wan_tui.core.snapshot import Snapshot

    # Runs beside the engine on its loop, e.g. the metrics endpoint.
    Companion = Callable[[Engine, Settings], AbstractAsyncContextManager[object]]

Result = TypeVar("Result")


class EmbeddedClient:
    """``async with EmbeddedClient(settings) as client``: starts the engine, and stops it and its workers at the end.

    ``settings`` is called on the engine's thread, where the engine is imported too: a face that is drawing its first
    frame waits for neither. What it raises, entering the client raises. ``companion`` is entered on the engine's
    loop once the engine runs. ``config`` is the file that was named, which changes are made to.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        load_wanted: bool = True,
        companion: Companion | None = None,
        config: Path | None = None,
    ) -> None:
        self._settings = settings
        self._load_wanted = load_wanted
        self._companion = companion
        self._config = config
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    async def __aenter__(self) -> EmbeddedClient:
        self._loop = asyncio.get_running_loop()
        self._latest: Latest[Snapshot] = Latest()
        self._thread.start()
        await asyncio.wrap_future(self._started)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._engine_loop.call_soon_threadsafe(self._stop.set)
        # Shielded by nature: the thread stops the workers even if this wait is cancelled.
        await asyncio.to_thread(self._thread.join)
        self._latest.close()

    def snapshots(self) -> AsyncIterator[Snapshot]:
        return self._latest.values()

    async def load(self, deployment: str) -> None:
        await self._ask(self._engine.load(deployment))

    async def unload(self, deployment: str) -> None:
        await self._ask(self._engine.unload(deployment))

    async def generate(self, request: GenerationRequest) -> str:
        return await self._ask(self._engine.generate(request))

    async def cancel(self, job: str) -> None:
        await self._ask(self._engine.cancel(job))

    async def move(self, job: str, by: int) -> None:
        await self._ask(self._engine.move(job, by))

    async def remove(self, job: str) -> None:
        await self._ask(self._engine.remove(job))

    async def past(self, chosen: PastFilter, before: str | None = None, limit: int = 200) -> PastPage:
        return await self._ask(self._engine.past(chosen, before, limit))

    async def past_text(self, chosen: PastFilter, form: str) -> str:
        return await self._ask(self._engine.past_text(chosen, form))

    async def reel(self, path: str, width: int, height: int) -> Reel:
        from wan_tui.core.reel import read_reel

        return await self._ask(asyncio.to_thread(read_reel, Path(path), width=width, height=height))

    async def folder(self, path: str) -> Folder:
        from wan_tui.core.folder import read_folder

        return await self._ask(asyncio.to_thread(read_folder, path))

    async def sidecar(self, video: str) -> str:
        from wan_tui.core.runtime.outputs import sidecar_text

        return await self._ask(asyncio.to_thread(sidecar_text, Path(video)))

    async def assess(self, questions: Sequence[Question]) -> tuple[Assessment, ...]:
        return await self._ask(self._engine.assess(questions))

    async def timeline(self, deployment: str) -> Timeline:
        return await self._ask(self._engine.timeline(deployment))

    async def pin(self, deployment: str, *, pinned: bool) -> None:
        await self._ask(self._configuration.pin(deployment, pinned=pinned))

    async def validate(self, deployment: str | None = None) -> None:
        await self._ask(self._engine.validate(deployment))
        await self._ask(self._configuration.check())

    async def preview(self, change: Change) -> ChangePreview:
        return await self._ask(self._configuration.preview(change))

    async def apply(self, change: Change, base: str) -> str | None:
        return await self._ask(self._configuration.apply(change, base))

    async def init_configuration(self) -> str:
        return await self._ask(self._configuration.init())

    async def reload(self) -> None:
        await self._ask(self._configuration.reload())

    async def logs(self, source: str, after: int = 0) -> LogPage:
        return await self._ask(self._engine.logs(source, after))

    async def gpu_history(self, uuid: str) -> GpuTrace:
        return await self._ask(self._engine.gpu_history(uuid))

    async def gpu_processes(self, uuid: str) -> tuple[ProcessDetail, ...]:
        return await self._ask(self._engine.gpu_processes(uuid))

    async def _ask(self, command: Coroutine[Any, Any, Result]) -> Result:
        result = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(command, self._engine_loop))
        self._deliver()  # what the command did must be seen by whoever reads the newest snapshot next
        return result

    def _deliver(self) -> None:
        newest = self._engine.latest
        if newest is not None and newest is not self._latest.value:
            self._latest.publish(newest)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            else:
                raise

    async def _serve(self) -> None:
        self._engine_loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        from wan_tui.agent.configuration import Configuration
        from wan_tui.core.engine import Engine

        settings = self._settings()
        engine = Engine(settings, load_wanted=self._load_wanted)
        async with engine as self._engine, contextlib.AsyncExitStack() as stack:
            self._configuration = Configuration(engine, settings, self._config)
            checking = asyncio.create_task(self._configuration.check())
            stack.callback(checking.cancel)
            if self._companion is not None:
                await stack.enter_async_context(self._companion(self._engine, settings))
            await self._forward()

    async def _forward(self) -> None:
        forwarding = asyncio.create_task(self._forward_snapshots())
        self._started.set_result(None)
        await self._stop.wait()
        forwarding.cancel()

    async def _forward_snapshots(self) -> None:
        pending = threading.Event()

        def deliver() -> None:
            pending.clear()
            self._deliver()

        async for _ in self._engine.snapshots():
            # One delivery waits at most: a face that is busy finds the newest snapshot, not a backlog.
            if not pending.is_set():
                pending.set()
                self._loop.call_soon_threadsafe(deliver)
