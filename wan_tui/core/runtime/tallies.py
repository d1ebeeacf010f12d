"""Counters and histograms of one deployment while they are still being counted."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from wan_tui.core.runtime.state import DeploymentTotals, Histogram, LabelledCount, LabelledHistogram
from wan_tui.core.words import (
    STAGES,
    Expert,
    JobFailureReason,
    LoadFailureReason,
    Phase,
    Resolution,
    RestartReason,
    UnloadCause,
)

# Seconds. Wide enough for a pocket model on a laptop and A14B at 720p with every weight in host memory.
LOAD_BOUNDS = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 240.0, 480.0, 900.0, 1200.0)
QUEUE_BOUNDS = (1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
GENERATION_BOUNDS = (
    *(1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0),
    *(180.0, 240.0, 300.0, 420.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0),
)
STAGE_BOUNDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
STEP_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
# Observed / estimated: exact bounds at 0.9 and 1.1, since thresholds stand there.
ERROR_BOUNDS = (0.5, 0.67, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0)


class _Counting:
    """A histogram under construction."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def frozen(self) -> Histogram:
        return Histogram(self._bounds, tuple(self._counts), self._sum)


def _zeroes(words: Iterable[StrEnum]) -> dict[str, float]:
    return {word.value: 0.0 for word in words}


def _histograms(words: Iterable[StrEnum], bounds: tuple[float, ...]) -> dict[str, _Counting]:
    return {word.value: _Counting(bounds) for word in words}


@dataclass(slots=True)
class Tallies:
    """Mutable side of DeploymentTotals; every bounded label starts at 0."""

    loads: int = 0
    jobs_finished: int = 0
    jobs_cancelled: int = 0
    jobs_retried: int = 0
    jobs_interrupted: int = 0
    video_seconds: float = 0.0
    load_failures: dict[str, float] = field(default_factory=lambda: _zeroes(LoadFailureReason))
    unloads: dict[str, float] = field(default_factory=lambda: _zeroes(UnloadCause))
    worker_restarts: dict[str, float] = field(default_factory=lambda: _zeroes(RestartReason))
    jobs_failed: dict[str, float] = field(default_factory=lambda: _zeroes(JobFailureReason))
    out_of_memory: dict[str, float] = field(default_factory=lambda: _zeroes(Phase))
    estimated_seconds: dict[str, float] = field(default_factory=lambda: _zeroes(Resolution))
    load_seconds: _Counting = field(default_factory=lambda: _Counting(LOAD_BOUNDS))
    queue_seconds: _Counting = field(default_factory=lambda: _Counting(QUEUE_BOUNDS))
    error_ratio: _Counting = field(default_factory=lambda: _Counting(ERROR_BOUNDS))
    generation_seconds: dict[str, _Counting] = field(default_factory=lambda: _histograms(Resolution, GENERATION_BOUNDS))
    stage_seconds: dict[str, _Counting] = field(default_factory=lambda: _histograms(STAGES, STAGE_BOUNDS))
    step_seconds: dict[str, _Counting] = field(default_factory=lambda: _histograms(Expert, STEP_BOUNDS))

    def frozen(self) -> DeploymentTotals:
        return DeploymentTotals(
            loads=self.loads,
            load_failures=_labelled(self.load_failures),
            unloads=_labelled(self.unloads),
            worker_restarts=_labelled(self.worker_restarts),
            jobs_finished=self.jobs_finished,
            jobs_cancelled=self.jobs_cancelled,
            jobs_retried=self.jobs_retried,
            jobs_interrupted=self.jobs_interrupted,
            jobs_failed=_labelled(self.jobs_failed),
            out_of_memory=_labelled(self.out_of_memory),
            video_seconds=self.video_seconds,
            load_seconds=self.load_seconds.frozen(),
            queue_seconds=self.queue_seconds.frozen(),
            generation_seconds=_labelled_histograms(self.generation_seconds),
            generation_estimated_seconds=_labelled(self.estimated_seconds),
            estimate_error_ratio=self.error_ratio.frozen(),
            stage_seconds=_labelled_histograms(self.stage_seconds),
            step_seconds=_labelled_histograms(self.step_seconds),
        )


def _labelled(counts: dict[str, float]) -> tuple[LabelledCount, ...]:
    return tuple(LabelledCount(label, value) for label, value in counts.items())


def _labelled_histograms(histograms: dict[str, _Counting]) -> tuple[LabelledHistogram, ...]:
    return tuple(LabelledHistogram(label, histogram.frozen()) for label, histogram in histograms.items())
