"""How a face (screen, command, exporter) talks to the engine, wherever the engine runs.

Requests go down and return at once; every consequence comes back up in a snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from wan_tui.agent.changes import Change, ChangePreview
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


class Client(Protocol):
    """One connection to one engine. All methods are called from the caller's event loop."""

    def snapshots(self) -> AsyncIterator[Snapshot]:
        """The newest snapshot at once, then every newer one; a slow reader skips to the newest."""
        ...

    async def load(self, deployment: str) -> None:
        """Want ``deployment`` loaded. Raises UsageError for an unknown name or an impossible state."""
        ...

    async def unload(self, deployment: str) -> None:
        """Want ``deployment`` unloaded; its running job ends as cancelled."""
        ...

    async def generate(self, request: GenerationRequest) -> str:
        """Queue a generation (loading its deployment first if needed) and return the job's id.

        Frames and sizes are rounded to what the model can do, with a notice on the job.
        Raises UsageError for what no rounding can mend.
        """
        ...

    async def cancel(self, job: str) -> None:
        """Cancel a queued job at once, a running one between two steps."""
        ...

    async def move(self, job: str, by: int) -> None:
        """Let a waiting job run ``by`` places later (negative: earlier); its priority says so from then on."""
        ...

    async def remove(self, job: str) -> None:
        """Take a job that waits or has ended off the list; the history keeps what ran."""
        ...

    async def past(self, chosen: PastFilter, before: str | None = None, limit: int = 200) -> PastPage:
        """Finished loads and runs, newest first; ``before`` is the ``more`` of the page before. A query."""
        ...

    async def past_text(self, chosen: PastFilter, form: str) -> str:
        """All of them as ``csv`` or ``json``, as ``wan-tui history`` prints them. A query."""
        ...

    async def reel(self, path: str, width: int, height: int) -> Reel:
        """A video or picture on the engine's host as frames of at most ``width`` x ``height`` pixels. A query."""
        ...

    async def folder(self, path: str) -> Folder:
        """Folders and pictures in a folder of the engine's host; "" is the home directory there. A query."""
        ...

    async def sidecar(self, video: str) -> str:
        """The text of the file beside ``video`` on the engine's host. A query."""
        ...

    async def assess(self, questions: Sequence[Question]) -> tuple[Assessment, ...]:
        """Will it fit, how long will it take: one answer for each question; a query, which changes nothing.

        Raises UsageError for an unknown name or more than ``MAX_QUESTIONS``.
        """
        ...

    async def timeline(self, deployment: str) -> Timeline:
        """Device memory of a deployment over the last hour. Raises UsageError for an unknown name."""
        ...

    async def pin(self, deployment: str, *, pinned: bool) -> None:
        """Keep a deployment loaded, now and after every start, or leave it to its keep-alive.

        The configuration file is changed accordingly. Raises UsageError for an unknown name, WanTuiError for one that
        cannot run or a file that cannot be written.
        """
        ...

    async def validate(self, deployment: str | None = None) -> None:
        """Evaluate the rules of one deployment, or all of them and those of the configuration, now."""
        ...

    async def preview(self, change: Change) -> ChangePreview:
        """What a change of the configuration would do to the file. Raises UsageError for an impossible one."""
        ...

    async def apply(self, change: Change, base: str) -> str | None:
        """Make a change that was previewed as ``base``, and take it up; the name of the backup of the original.

        Raises WanTuiError when the file changed since, or cannot be written; then it is as it was.
        """
        ...

    async def init_configuration(self) -> str:
        """Write the commented default configuration file; its name. Raises WanTuiError when there is one."""
        ...

    async def reload(self) -> None:
        """Read the configuration file again; what is wrong with it shows in the snapshot, and the older one applies."""

    async def logs(self, source: str, after: int = 0) -> LogPage:
        """What ``agent`` or ``worker NAME`` said since the line numbered ``after``. Raises UsageError."""
        ...

    async def gpu_history(self, uuid: str) -> GpuTrace:
        """The last hour of one GPU. Raises UsageError for one that was never seen."""
        ...

    async def gpu_processes(self, uuid: str) -> tuple[ProcessDetail, ...]:
        """User and command line of the processes on one GPU. Raises UsageError for one that is not known."""
        ...
