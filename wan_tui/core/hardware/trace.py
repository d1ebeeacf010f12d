"""The last hour of every GPU, in averages of a few seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wan_tui.core.hardware.samples import GpuSample

BUCKET_SECONDS = 5.0
KEEP_SECONDS = 3600.0
FIELDS = ("utilization_ratio", "memory_used_bytes", "temperature_celsius", "power_watts", "sm_clock_hertz")

Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuTrace:
    """The course of one GPU, oldest first: ``at`` is when each average began (Unix seconds), ``interval_seconds``
    long. None where the GPU was lost, did not say, or nothing was read."""

    uuid: str
    interval_seconds: float
    at: tuple[float, ...] = ()
    utilization_ratio: tuple[float | None, ...] = ()
    memory_used_bytes: tuple[float | None, ...] = ()
    temperature_celsius: tuple[float | None, ...] = ()
    power_watts: tuple[float | None, ...] = ()
    sm_clock_hertz: tuple[float | None, ...] = ()


class _Course:
    def __init__(self) -> None:
        self.points: deque[tuple[float, Values]] = deque(maxlen=int(KEEP_SECONDS / BUCKET_SECONDS))
        self.bucket = 0.0
        self.open: list[Values] = []

    def add(self, at: float, values: Values) -> None:
        bucket = at // BUCKET_SECONDS * BUCKET_SECONDS
        if bucket != self.bucket:
            self.close()
            self.bucket = bucket
        self.open.append(values)

    def close(self) -> None:
        if self.open:
            self.points.append((self.bucket, tuple(map(_mean, zip(*self.open, strict=True)))))
            self.open = []

    def all(self) -> list[tuple[float, Values]]:
        now = [(self.bucket, tuple(map(_mean, zip(*self.open, strict=True))))] if self.open else []
        return [*self.points, *now]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


class GpuTraces:
    """One course per GPU that was ever seen."""

    def __init__(self) -> None:
        self._courses: dict[str, _Course] = {}

    def add(self, gpus: Iterable[GpuSample], at: float) -> None:
        for gpu in gpus:
            values = tuple(getattr(gpu, field) if gpu.up else None for field in FIELDS)
            self._courses.setdefault(gpu.uuid, _Course()).add(at, values)

    def of(self, uuid: str) -> GpuTrace | None:
        course = self._courses.get(uuid)
        if course is None:
            return None
        points = course.all()
        columns = zip(*(values for _, values in points), strict=True) if points else iter(())
        return GpuTrace(
            uuid=uuid,
            interval_seconds=BUCKET_SECONDS,
            at=tuple(at for at, _ in points),
            **dict(zip(FIELDS, map(tuple, columns), strict=False)),
        )

    def recent(self, uuid: str, field: str, count: int, *, complete: bool = False) -> list[float | None]:
        """The newest ``count`` averages of one of ``FIELDS``, oldest first; fewer when there are not so many.

        With ``complete`` without the one that is not over yet, so that the answer changes every ``BUCKET_SECONDS``.
        """
        course = self._courses.get(uuid)
        if course is None:
            return []
        column, points = FIELDS.index(field), course.points
        now = [] if complete or not course.open else [_mean(values[column] for values in course.open)]
        first = max(len(points) - count + len(now), 0)
        return [points[i][1][column] for i in range(first, len(points))] + now

    def seed(self, trace: GpuTrace) -> None:
        """Take up a course that someone else kept, unless there is one already that reaches as far back."""
        ours = self._courses.setdefault(trace.uuid, _Course())
        first = ours.points[0][0] if ours.points else ours.bucket if ours.open else float("inf")
        columns = zip(*(getattr(trace, field) for field in FIELDS), strict=True)
        older = [(at, values) for at, values in zip(trace.at, columns, strict=True) if at < first]
        ours.points.extendleft(reversed(older))

    @property
    def known(self) -> list[str]:
        return list(self._courses)
