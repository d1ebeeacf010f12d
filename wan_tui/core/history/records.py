"""What is kept of a finished load or run, and its rows in the file."""

import dataclasses
import json
import math
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wan_tui.core.planning.calibration import Observation, Subject
from wan_tui.core.planning.plan import Bounds, Clip, ExecutionPlan, GenerationRequest

# The figure of a whole load or run, beside those of its stages.
TOTAL = "total"


class Kind(StrEnum):
    LOAD = "load"
    RUN = "run"


class Unit(StrEnum):
    """What a figure counts: seconds of a stage, or peak bytes of device memory in a phase."""

    SECONDS = "seconds"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What a run ran on. ``driver`` is None on the CPU."""

    driver: str | None = None
    torch: str | None = None
    diffusers: str | None = None

    @property
    def key(self) -> str:
        parts = (("driver", self.driver), ("torch", self.torch), ("diffusers", self.diffusers))
        return " ".join(f"{name} {version}" for name, version in parts if version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One stage or phase, or ``total``: what the model said, what was shown (90 % interval), what happened.

    ``modelled`` is None for what has no model, ``expected`` for what was never shown.
    """

    stage: str
    unit: Unit = Unit.SECONDS
    modelled: float | None = None
    low: float | None = None
    expected: float | None = None
    high: float | None = None
    observed: float

    @property
    def shown(self) -> Bounds | None:
        if self.low is None or self.expected is None or self.high is None:
            return None
        return Bounds(self.low, self.expected, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One finished load or run. ``first``: the first one after a load (of a load: after the engine started).

    ``plan_key`` is what of ``plan`` changes speed and size. ``basis`` and ``runs`` are those of the estimate that was
    shown. ``counts`` is False for what a reset took out of calibration. ``ended_at`` is Unix seconds.
    """

    kind: Kind
    ended_at: float
    deployment: str
    model: str
    device: str
    plan_key: str
    plan: ExecutionPlan | None
    first: bool
    versions: Versions
    figures: tuple[Figure, ...]
    clip: Clip | None = None
    request: GenerationRequest | None = None
    basis: str | None = None
    runs: int = 0
    counts: bool = True
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def total(self) -> Figure | None:
        """Seconds of the whole."""
        return self.figure(TOTAL)

    def figure(self, stage: str, unit: Unit = Unit.SECONDS) -> Figure | None:
        return next((figure for figure in self.figures if (figure.stage, figure.unit) == (stage, unit)), None)

    def subject(self, stage: str) -> Subject:
        """What a figure of this record is about."""
        return Subject(
            stage=stage,
            device=self.device,
            model=self.model,
            plan=self.plan_key,
            first=self.first,
            versions=self.versions.key,
            clip=self.clip,
        )

    def observations(self, unit: Unit) -> list[Observation]:
        """What calibration can learn from it: every figure that had a model.

        The total of a run is the sum of its stages and tells nothing more. Warm-up costs time, not memory.
        """
        known = self if unit is Unit.SECONDS else dataclasses.replace(self, first=False)
        return [
            Observation(subject=known.subject(figure.stage), modelled=figure.modelled, observed=figure.observed)
            for figure in self.figures
            if figure.unit is unit and figure.modelled is not None
            if self.kind is Kind.LOAD or figure.stage != TOTAL
        ]


COLUMNS = (
    *("uid", "ended_at", "kind", "deployment", "model", "device", "plan_key", "plan", "request", "first"),
    *("width", "height", "frames", "steps", "guidance", "driver", "torch", "diffusers", "basis", "runs", "counts"),
)
FIGURE_COLUMNS = ("stage", "unit", "modelled", "low", "expected", "high", "observed")


def row_of(record: Record) -> tuple[object, ...]:
    """Values of ``COLUMNS``."""
    clip, versions = record.clip, record.versions
    return (
        *(record.uid, record.ended_at, record.kind.value, record.deployment, record.model, record.device),
        *(record.plan_key, _json(record.plan), _json(record.request), int(record.first)),
        *((clip.width, clip.height, clip.frames, clip.steps, clip.guidance) if clip else (None,) * 5),
        *(versions.driver, versions.torch, versions.diffusers, record.basis, record.runs, int(record.counts)),
    )


def figure_row(figure: Figure) -> tuple[object, ...]:
    """Values of ``FIGURE_COLUMNS``."""
    return tuple(getattr(figure, column) for column in FIGURE_COLUMNS)


def record_of(row: tuple[Any, ...], figures: tuple[Figure, ...]) -> Record:
    """The record of a row of ``COLUMNS``."""
    values = dict(zip(COLUMNS, row, strict=True))
    clip_values = {name: values.pop(name) for name in ("width", "height", "frames", "steps", "guidance")}
    versions = Versions(**{name: values.pop(name) for name in ("driver", "torch", "diffusers")})
    values |= {
        "kind": Kind(values["kind"]),
        "plan": _read(ExecutionPlan, values["plan"]),
        "request": _read(GenerationRequest, values["request"]),
        "first": bool(values["first"]),
        "counts": bool(values["counts"]),
    }
    clip = Clip(**clip_values) if None not in clip_values.values() else None
    return Record(**values, clip=clip, versions=versions, figures=figures)


def figure_of(row: tuple[Any, ...]) -> Figure:
    """The figure of a row of ``FIGURE_COLUMNS``."""
    values = dict(zip(FIGURE_COLUMNS, row, strict=True))
    return Figure(**{**values, "unit": Unit(values["unit"])})


def is_sound(figure: Figure) -> bool:
    """Whether it can be kept: finite and not negative."""
    numbers = (figure.modelled, figure.low, figure.expected, figure.high, figure.observed)
    return all(number is None or (math.isfinite(number) and number >= 0) for number in numbers)


def _json(value: ExecutionPlan | GenerationRequest | None) -> str | None:
    return None if value is None else json.dumps(dataclasses.asdict(value))


def _read(kind: type[Any], text: str | None) -> Any:
    """None for what an older or newer version wrote differently: the row stays, without it."""
    if text is None:
        return None
    try:
        return kind(**json.loads(text))
    except (TypeError, ValueError):
        return None
