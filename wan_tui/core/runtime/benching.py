"""What a benchmark and its worker processes say to each other: a job down, one JSON object a line up.

Every line stands for itself, so that whatever kills a worker, what it has measured is known.
"""

import dataclasses
import functools
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.plan import Clip, ExecutionPlan
from wan_tui.core.runtime.protocol import Hello, LoadFailed, LoadStage, ProtocolError
from wan_tui.core.words import Phase


class BenchWeights(StrEnum):
    """What a benchmark runs: the architecture with random values, the built-in tiny model, or a checkpoint."""

    SYNTHETIC = "synthetic"
    POCKET = "pocket"
    CHECKPOINT = "checkpoint"


class Outcome(StrEnum):
    """How a run ended. ``died``: its process was killed; ``skipped``: it could not be tried here."""

    FINISHED = "finished"
    OUT_OF_MEMORY = "out_of_memory"
    SKIPPED = "skipped"
    FAILED = "failed"
    DIED = "died"

    @property
    def measured(self) -> bool:
        """Whether running it again would say the same."""
        return self in (Outcome.FINISHED, Outcome.OUT_OF_MEMORY)


class DeviceBasis(StrEnum):
    """Whose memory the driver's figure is: this process's, or what the device's grew by since it started."""

    PROCESS = "process"
    DEVICE_GROWTH = "device_growth"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchJob:
    """One plan and the clips to make under it, one after the other, in one process.

    ``parent`` is the process whose end is the worker's too; ``checkpoint`` a diffusers folder.
    """

    model: str
    weights: BenchWeights
    plan: ExecutionPlan
    clips: tuple[Clip, ...]
    cache_directory: str
    checkpoint: str | None = None
    seed: int = 0
    parent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """The most that was held in bytes during one phase; None where it was not looked at.

    ``allocated_bytes`` and ``reserved_bytes`` are torch's on the device (what is reserved stays so in later phases),
    ``driver_bytes`` is NVML's, sampled, of ``driver_basis``. ``resident_growth_bytes``: resident memory of the process
    above what it was before loading, which on a processor is where weights and activations are.
    """

    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
    driver_bytes: int | None = None
    driver_basis: DeviceBasis | None = None
    resident_growth_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The weights are in place after ``seconds`` (imports left out); ``rate`` was measured after that."""

    seconds: float
    peak: PeakMemory
    rate: DeviceRate
    type: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """Clip number ``clip`` of the job, from 0, is being made."""

    clip: int
    type: Literal["began"] = "began"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseMeasured:
    """A phase of a clip ended: ``seconds`` of all of it, ``step_seconds`` of each denoising step in it."""

    clip: int
    phase: Phase
    seconds: float
    step_seconds: tuple[float, ...]
    peak: PeakMemory
    type: Literal["phase"] = "phase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A clip is done with after ``seconds``; the rest says where and why it failed, and what was held then."""

    clip: int
    outcome: Outcome
    seconds: float
    phase: Phase | None = None
    reason: str | None = None
    peak: PeakMemory | None = None
    type: Literal["ended"] = "ended"


BenchEvent = Hello | LoadStage | LoadFailed | Ready | Began | PhaseMeasured | Ended


def encode_line(message: BenchJob | BenchEvent) -> bytes:
    """One line with its newline."""
    return json.dumps(dataclasses.asdict(message), separators=(",", ":")).encode() + b"\n"


def decode_job(line: bytes) -> BenchJob:
    """Raises ProtocolError."""
    try:
        return TypeAdapter(BenchJob).validate_json(line)
    except ValidationError as error:
        raise ProtocolError(f"not a job: {line[:200]!r} ({error.error_count()} problems)") from None


def decode_bench_event(line: bytes) -> BenchEvent:
    """Raises ProtocolError."""
    try:
        return _events().validate_json(line)
    except ValidationError as error:
        raise ProtocolError(f"not a result: {line[:200]!r} ({error.error_count()} problems)") from None


@functools.cache
def _events() -> TypeAdapter[BenchEvent]:
    return TypeAdapter(Annotated[BenchEvent, Field(discriminator="type")])
