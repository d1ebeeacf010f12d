"""A client without an engine: the test publishes snapshots and reads which commands came."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from wan_tui.agent.changes import Change, ChangePreview
from wan_tui.core.errors import UsageError
from wan_tui.core.folder import Folder
from wan_tui.core.hardware.processes import ProcessDetail
from wan_tui.core.hardware.trace import GpuTrace
from wan_tui.core.logs import LogPage, Logs
from wan_tui.core.planning.plan import Clip, Compatibility, GenerationRequest
from wan_tui.core.planning.questions import Assessment, Question
from wan_tui.core.reel import Reel
from wan_tui.core.runtime.past import PastFilter, PastPage, PastRun
from wan_tui.core.runtime.timeline import Timeline
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import Verdict


class FakeClient:
    """Speaks the Client protocol. ``commands`` records calls in order; ``refusal`` is raised by the next ones."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.commands: list[tuple[str, str]] = []
        self.requests: list[GenerationRequest] = []
        self.questions: list[Question] = []
        self.answer: Callable[[Question], Assessment] = unknown_answer
        self.timelines: dict[str, Timeline] = {}
        self.previewed: list[Change] = []
        self.applied: list[Change] = []
        self.preview_answer: Callable[[Change], ChangePreview] = plain_preview
        self.traces: dict[str, GpuTrace] = {}
        self.spoken = Logs()
        self.processes: dict[str, tuple[ProcessDetail, ...]] = {}
        self.runs: list[PastRun] = []
        self.asked_for: list[PastFilter] = []
        self.reels: dict[str, Reel] = {}
        self.folders: dict[str, Folder] = {}
        self.sidecars: dict[str, str] = {}
        self.refusal: Exception | None = None
        self.closed = 0
        self.streams = 0
        self._snapshot = snapshot
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    def publish(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._changed.set()

    def break_stream(self, error: Exception) -> None:
        """The next thing that a reader gets, and every new reader until ``mend``."""
        self._failure = error
        self._changed.set()

    def mend(self) -> None:
        self._failure = None

    async def __aenter__(self) -> "FakeClient":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.closed += 1

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        self.streams += 1
        seen: Snapshot | None = None
        while True:
            if self._failure is not None:
                raise self._failure
            if self._snapshot is not None and self._snapshot is not seen:
                seen = self._snapshot
                yield seen
                continue
            self._changed.clear()
            await self._changed.wait()

    async def load(self, deployment: str) -> None:
        self._record("load", deployment)

    async def unload(self, deployment: str) -> None:
        self._record("unload", deployment)

    async def generate(self, request: GenerationRequest) -> str:
        self._record("generate", request.deployment)
        self.requests.append(request)
        return f"job-{100 + len(self.requests)}"

    async def cancel(self, job: str) -> None:
        self._record("cancel", job)

    async def move(self, job: str, by: int) -> None:
        self._record("move up" if by < 0 else "move down", job)

    async def remove(self, job: str) -> None:
        self._record("remove", job)

    async def past(self, chosen: PastFilter, before: str | None = None, limit: int = 200) -> PastPage:
        """Pages of ``runs``; words narrow them by deployment and prompt."""
        self._refuse()
        self.asked_for.append(chosen)
        found = [run for run in self.runs if chosen.kind in (None, run.kind)]
        found = [run for run in found if all(word in _shown(run) for word in chosen.words)]
        start = 0 if before is None else [run.uid for run in found].index(before) + 1
        shown = tuple(found[start : start + limit])
        more = shown[-1].uid if start + limit < len(found) else None
        return PastPage(runs=shown, matching=len(found), more=more)

    async def past_text(self, chosen: PastFilter, form: str) -> str:
        page = await self.past(chosen, None, 1_000_000)
        return "".join(f"{form} {run.uid}\n" for run in page.runs)

    async def reel(self, path: str, width: int, height: int) -> Reel:
        self._refuse()
        if path not in self.reels:
            raise UsageError(f"{path}: no such file")
        return self.reels[path]

    async def folder(self, path: str) -> Folder:
        self._refuse()
        known = path or next(iter(self.folders), "")
        if known not in self.folders:
            raise UsageError(f"folder {path}: No such file or directory")
        return self.folders[known]

    async def sidecar(self, video: str) -> str:
        self._refuse()
        if video not in self.sidecars:
            raise UsageError(f"{video.removesuffix('.mp4')}.json: cannot be read: No such file or directory")
        return self.sidecars[video]

    async def assess(self, questions: Sequence[Question]) -> tuple[Assessment, ...]:
        """Answers as ``answer`` says; a query is no command, but a refusal holds for it too."""
        self._refuse()
        self.questions.extend(questions)
        return tuple(self.answer(question) for question in questions)

    async def timeline(self, deployment: str) -> Timeline:
        if self.refusal is not None:
            raise self.refusal
        return self.timelines.get(deployment, Timeline())

    async def pin(self, deployment: str, *, pinned: bool) -> None:
        self._record("pin" if pinned else "unpin", deployment)

    async def validate(self, deployment: str | None = None) -> None:
        self._record("validate", deployment or "all")

    async def preview(self, change: Change) -> ChangePreview:
        if self.refusal is not None:
            raise self.refusal
        self.previewed.append(change)
        return self.preview_answer(change)

    async def apply(self, change: Change, base: str) -> str | None:
        self._record("apply", base)
        self.applied.append(change)
        return "/home/wan/wan-tui.toml.bak"

    async def init_configuration(self) -> str:
        self._record("init", "")
        return "/home/op/.config/wan-tui/wan-tui.toml"

    async def reload(self) -> None:
        self._record("reload", "")

    async def gpu_history(self, uuid: str) -> GpuTrace:
        if self.refusal is not None:
            raise self.refusal
        return self.traces.get(uuid, GpuTrace(uuid=uuid, interval_seconds=5.0))

    async def logs(self, source: str, after: int = 0) -> LogPage:
        if self.refusal is not None:
            raise self.refusal
        return self.spoken.page(source, after)

    async def gpu_processes(self, uuid: str) -> tuple[ProcessDetail, ...]:
        if self.refusal is not None:
            raise self.refusal
        return self.processes.get(uuid, ())

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def _record(self, command: str, name: str) -> None:
        self._refuse()
        self.commands.append((command, name))


def _shown(run: PastRun) -> str:
    return f"{run.deployment} {run.request.prompt if run.request else ''}"


def unknown_answer(question: Question) -> Assessment:
    """What a planner says that knows nothing about the device."""
    clip = Clip(
        width=question.width or 832,
        height=question.height or 480,
        frames=question.frames or 81,
        steps=question.steps or 40,
        guidance=4.0,
    )
    return Assessment(
        compatibility=Compatibility(verdict=Verdict.UNKNOWN, reason="nothing is known about the device"),
        model=question.model or "t2v-A14B",
        profile=question.profile or "auto",
        where=question.gpu or question.device or "this host",
        clip=clip,
    )


def plain_preview(change: Change) -> ChangePreview:
    """A diff of one line for each setting, as of a file that has none of them."""
    lines = [f"+{'.'.join(setting.path)} = {setting.value!r}" for setting in change.settings] or [
        "-prot = 1",
        "+port = 1",
    ]
    diff = "\n".join(
        ["--- /home/wan/wan-tui.toml", "+++ /home/wan/wan-tui.toml", "@@ -1 +1 @@", " [deployments]", *lines]
    )
    return ChangePreview(file="/home/wan/wan-tui.toml", diff=diff, base="base-1")
