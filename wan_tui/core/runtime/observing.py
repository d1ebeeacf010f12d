"""What a worker's messages show in passing: how long the stages of a load took, how much memory each phase held."""

from wan_tui.core.runtime.protocol import Memory
from wan_tui.core.words import Phase

# From starting the process to the first stage of the load command: imports, mostly.
START_STAGE = "start"


class LoadStages:
    """Seconds of each stage of one load, in order. ``began_at``: when the process was started."""

    def __init__(self, began_at: float) -> None:
        self._began: list[tuple[str, float]] = [(START_STAGE, began_at)]

    def began(self, stage: str, now: float) -> None:
        self._began.append((stage, now))

    def ended(self, now: float) -> dict[str, float]:
        """Seconds by stage; one that came twice counts together."""
        seconds: dict[str, float] = {}
        ends = [at for _, at in self._began[1:]] + [now]
        for (stage, began), end in zip(self._began, ends, strict=True):
            seconds[stage] = seconds.get(stage, 0.0) + max(end - began, 0.0)
        return seconds


class PhasePeaks:
    """The most that torch held on the device in each phase of a job, from a heartbeat a second.

    torch's own peak never falls: it belongs to a phase only where it grew between two heartbeats of that phase.
    """

    def __init__(self) -> None:
        self._job: str | None = None
        self._phase = Phase.IDLE
        self._peaks: dict[Phase, int] = {}
        self._highest = 0

    def saw(self, job: str | None, phase: Phase, memory: Memory) -> None:
        if job != self._job:
            self._job, self._peaks = job, {}
        before, self._phase = self._phase, phase
        held, highest = memory.reserved_bytes, memory.peak_bytes or 0
        if held is None:
            return
        if highest > self._highest and phase is before:
            held = max(held, highest)
        self._highest = max(self._highest, highest)
        if phase is not Phase.IDLE:
            self._peaks[phase] = max(self._peaks.get(phase, 0), held)

    def of(self, job: str) -> dict[Phase, int]:
        """Peaks of ``job`` in bytes, by phase; empty where no device memory was reported."""
        return dict(self._peaks) if job == self._job else {}
