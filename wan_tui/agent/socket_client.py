"""The engine of an agent, over its Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wan_tui import __version__
from wan_tui.core.errors import WanTuiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

    import aiohttp

    from wan_tui.agent.changes import Change, ChangePreview
    from wan_tui.agent.messages import AgentInfo
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

COMMAND_SECONDS = 60.0
RETRY_SECONDS = 0.25
MAX_LINE_BYTES = 64 << 20


class AgentGone(WanTuiError):
    """Nobody answers at the socket, or no longer."""


class SocketClient:
    """``async with SocketClient(path) as client``: attached to the agent there. Raises WanTuiError.

    After the loss of the agent ``snapshots`` goes on with the next agent that answers within ``patience_seconds``,
    else it raises AgentGone. aiohttp and pydantic are imported on a thread: entering blocks no screen.
    """

    def __init__(self, path: Path, *, patience_seconds: float = 0.0) -> None:
        self._path = path
        self._patience_seconds = patience_seconds
        self._warm = False
        self.info: AgentInfo | None = None

    async def __aenter__(self) -> SocketClient:
        await asyncio.to_thread(_import)
        import aiohttp

        self._session = aiohttp.ClientSession(
            "http://agent",
            connector=aiohttp.UnixConnector(str(self._path), limit=0),
            timeout=aiohttp.ClientTimeout(total=COMMAND_SECONDS, sock_connect=10),
        )
        try:
            self.info = await self._identify()
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """The newest snapshot at once, then newer ones; after a loss it resumes where it was."""
        seen: Snapshot | None = None
        heard = time.monotonic()
        while True:
            try:
                if seen is not None:
                    await self._know_again(seen)
                async for snapshot in self._stream(seen):
                    seen = snapshot
                    yield snapshot
                    heard = time.monotonic()
                reason = "it ended the stream"
            except AgentGone as error:
                reason = str(error)
            if time.monotonic() - heard >= self._patience_seconds:
                raise AgentGone(f"agent gone, reconnecting ({reason})")
            await asyncio.sleep(RETRY_SECONDS)

    async def load(self, deployment: str) -> None:
        await self._post(f"/v1/deployments/{quote(deployment, safe='')}/load")

    async def unload(self, deployment: str) -> None:
        await self._post(f"/v1/deployments/{quote(deployment, safe='')}/unload")

    async def generate(self, request: GenerationRequest) -> str:
        return str((await self._post("/v1/jobs", dataclasses.asdict(request)))["job"])

    async def cancel(self, job: str) -> None:
        await self._post(f"/v1/jobs/{quote(job, safe='')}/cancel")

    async def move(self, job: str, by: int) -> None:
        await self._post(f"/v1/jobs/{quote(job, safe='')}/move", {"by": by})

    async def remove(self, job: str) -> None:
        await self._post(f"/v1/jobs/{quote(job, safe='')}/remove")

    async def past(self, chosen: PastFilter, before: str | None = None, limit: int = 200) -> PastPage:
        from wan_tui.core.runtime.past import PastPage

        query = {**_narrowed(chosen), "limit": str(limit)} | ({"before": before} if before is not None else {})
        page: PastPage = await self._get("/v1/history", PastPage, **query)
        return page

    async def past_text(self, chosen: PastFilter, form: str) -> str:
        return await self._get_text(f"/v1/history/{quote(form, safe='')}", **_narrowed(chosen))

    async def reel(self, path: str, width: int, height: int) -> Reel:
        from wan_tui.core.reel import Reel

        found: Reel = await self._get("/v1/frames", Reel, path=path, width=str(width), height=str(height))
        return found

    async def folder(self, path: str) -> Folder:
        from wan_tui.core.folder import Folder

        found: Folder = await self._get("/v1/folder", Folder, path=path)
        return found

    async def sidecar(self, video: str) -> str:
        return await self._get_text("/v1/sidecar", path=video)

    async def assess(self, questions: Sequence[Question]) -> tuple[Assessment, ...]:
        from wan_tui.agent.planning_messages import assessments_from

        body = await self._post_for_bytes("/v1/assessments", [dataclasses.asdict(one) for one in questions])
        return await asyncio.to_thread(assessments_from, body)

    async def timeline(self, deployment: str) -> Timeline:
        from wan_tui.core.runtime.timeline import Timeline

        path = f"/v1/deployments/{quote(deployment, safe='')}/timeline"
        found: Timeline = await self._get(path, Timeline)
        return found

    async def pin(self, deployment: str, *, pinned: bool) -> None:
        await self._post(f"/v1/deployments/{quote(deployment, safe='')}/pin", {"pinned": pinned})

    async def validate(self, deployment: str | None = None) -> None:
        await self._post("/v1/validation" + ("" if deployment is None else f"/{quote(deployment, safe='')}"))

    async def preview(self, change: Change) -> ChangePreview:
        from wan_tui.agent.configuration_messages import preview_from

        return preview_from(await self._post_for_bytes("/v1/configuration/preview", dataclasses.asdict(change)))

    async def apply(self, change: Change, base: str) -> str | None:
        answer = await self._post("/v1/configuration/apply", {**dataclasses.asdict(change), "base": base})
        backup: str | None = answer["backup"]
        return backup

    async def init_configuration(self) -> str:
        return str((await self._post("/v1/configuration/init"))["file"])

    async def reload(self) -> None:
        await self._post("/v1/configuration/reload")

    async def logs(self, source: str, after: int = 0) -> LogPage:
        from wan_tui.core.logs import LogPage

        page: LogPage = await self._get(f"/v1/logs/{quote(source, safe='')}", LogPage, after=str(after))
        return page

    async def gpu_history(self, uuid: str) -> GpuTrace:
        from wan_tui.core.hardware.trace import GpuTrace

        trace: GpuTrace = await self._get(f"/v1/gpus/{quote(uuid, safe='')}/history", GpuTrace)
        return trace

    async def gpu_processes(self, uuid: str) -> tuple[ProcessDetail, ...]:
        from wan_tui.core.hardware.processes import ProcessDetail

        path = f"/v1/gpus/{quote(uuid, safe='')}/processes"
        found: tuple[ProcessDetail, ...] = await self._get(path, tuple[ProcessDetail, ...])
        return found

    async def _know_again(self, seen: Snapshot) -> None:
        """After a loss another agent may answer; its snapshots are numbered anew."""
        info = await self._identify()
        if self.info is None or info.instance != self.info.instance:
            self.info = info

    async def _identify(self) -> AgentInfo:
        """Who answers. Raises AgentGone, or WanTuiError for one that speaks otherwise."""
        from pydantic import ValidationError

        from wan_tui.agent.messages import API, AgentInfo, error_from

        with self._loss_told():
            async with self._session.get("/v1/version") as response:
                body, status = await response.read(), response.status
        if status == 403:
            raise error_from(body, status)
        try:
            info = AgentInfo.from_json(body)
        except ValidationError:
            raise WanTuiError(f"what answers at {self._path} is no agent that wan-tui {__version__} knows") from None
        if info.api != API or info.version != __version__:
            raise WanTuiError(
                f"the agent at {self._path} is wan-tui {info.version} ({info.api}), this is {__version__} ({API}): "
                "end it with `wan-tui agent stop`, or use --embedded"
            )
        return info

    async def _stream(self, seen: Snapshot | None) -> AsyncIterator[Snapshot]:
        import aiohttp

        query = {"instance": self.info.instance if self.info else ""}
        if seen is not None:
            query["after"] = str(seen.number)
        endless = aiohttp.ClientTimeout(total=None, sock_connect=10)
        with self._loss_told():
            async with self._session.get("/v1/snapshots", params=query, timeout=endless) as response:
                if response.status != 200:
                    await self._refuse(response)
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
                    if len(rest) > MAX_LINE_BYTES:
                        raise WanTuiError(f"what answers at {self._path} is no agent")
                    if lines:  # the newest wins here too
                        yield await self._parse(lines[-1])

    async def _parse(self, line: bytes) -> Snapshot:
        from pydantic import ValidationError

        from wan_tui.core.snapshot import Snapshot

        try:
            if self._warm:
                return Snapshot.from_json(line)
            # The first time builds the parser, which takes longer than a frame.
            snapshot = await asyncio.to_thread(Snapshot.from_json, line)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, problem["loc"]))
            raise WanTuiError(
                f"the agent sent a snapshot that this wan-tui cannot read ({where}): restart it"
            ) from None
        self._warm = True
        return snapshot

    async def _post(self, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self._post_for_bytes(path, data))
        return answer

    async def _post_for_bytes(self, path: str, data: object = None) -> bytes:
        with self._loss_told():
            async with self._session.post(path, json=data) as response:
                if response.status >= 400:
                    await self._refuse(response)
                return await response.read()

    async def _get_text(self, path: str, /, **query: str) -> str:
        with self._loss_told():
            async with self._session.get(path, params=query) as response:
                if response.status >= 400:
                    await self._refuse(response)
                return await response.text("utf-8")

    async def _get(self, path: str, /, kind: Any, **query: str) -> Any:
        """The answer, read as ``kind``. Off the event loop: the first time builds a parser, and answers may be long."""
        from pydantic import ValidationError

        from wan_tui.agent.messages import read

        body = (await self._get_text(path, **query)).encode()
        try:
            return await asyncio.to_thread(read, kind, body)
        except ValidationError:
            raise WanTuiError(f"the agent's answer to {path} cannot be read by this wan-tui: restart it") from None

    @staticmethod
    async def _refuse(response: aiohttp.ClientResponse) -> None:
        from wan_tui.agent.messages import error_from

        raise error_from(await response.read(), response.status)

    @contextlib.contextmanager
    def _loss_told(self) -> Any:
        """Whatever goes wrong on the way is AgentGone, in one line."""
        import aiohttp

        try:
            yield
        except TimeoutError:
            raise AgentGone(f"the agent at {self._path} does not answer") from None
        except (aiohttp.ClientError, OSError) as error:
            raise AgentGone(f"no agent answers at {self._path}: {_reason(error)}") from None


def _narrowed(chosen: PastFilter) -> dict[str, str]:
    """A filter as the query of an address."""
    values = {"deployment": chosen.deployment, "kind": chosen.kind, "words": " ".join(chosen.words) or None}
    if chosen.since is not None:
        values["since"] = repr(chosen.since)
    return {name: value for name, value in values.items() if value is not None}


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _import() -> None:
    import aiohttp  # noqa: F401

    from wan_tui.agent import messages  # noqa: F401
    from wan_tui.core import snapshot  # noqa: F401
