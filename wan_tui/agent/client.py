"""How a face (screen, command, exporter) talks to the engine, wherever the engine runs.

Requests go down and return at once; every consequence comes back up in a snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from wan_tui.core.planning.plan import GenerationRequest
    from wan_tui.core.planning.questions import Assessment, Question
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

    async def assess(self, questions: Sequence[Question]) -> tuple[Assessment, ...]:
        """Will it fit, how long will it take: one answer for each question; a query, which changes nothing.

        Raises UsageError for an unknown name or more than ``MAX_QUESTIONS``.
        """
        ...
