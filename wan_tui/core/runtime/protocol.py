"""What engine and worker say to each other: one JSON object a line, each with its ``type``.

Commands go down, events come up. A worker answers nothing directly; it reports what happened.
"""

import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.plan import ExecutionPlan, GenerationRequest, StageSeconds, TimeEstimate
from wan_tui.core.runtime.state import Preview
from wan_tui.core.words import Expert, JobFailureReason, LoadFailureReason, LoraExpert, Phase

# A preview is the largest message by far (48 x 48 pixels, 10 kB); anything near this is a fault.
MAX_LINE_BYTES = 4 * 2**20


_Message = TypeVar("_Message")


class ProtocolError(Exception):
    """A line that is not a message of this protocol."""


# Commands: engine -> worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Low-rank weights at ``path``, added to ``expert`` with the factor ``weight``."""

    path: str
    weight: float = 1.0
    expert: LoraExpert = LoraExpert.BOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load ``model`` (catalogue id) as ``plan`` says, from ``checkpoint`` (a diffusers folder or a hub repository).

    A pocket model is written into ``cache_directory`` first if it is not there. ``transformer`` and ``transformer_2``
    are single files (GGUF, safetensors) in the place of the checkpoint's transformers.
    """

    model: str
    plan: ExecutionPlan
    checkpoint: str | None
    cache_directory: str
    transformer: str | None = None
    transformer_2: str | None = None
    loras: tuple[Lora, ...] = ()
    type: Literal["load"] = "load"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Run a normalised request; the MP4 is written to ``output``, its sidecar beside it, and neither must exist yet.

    ``more_outputs`` are for the second video and those after it. ``numbered``: the names may get a number when they
    are taken, and folders are made. ``estimate`` is for the sidecar.
    """

    job: str
    request: GenerationRequest
    output: str
    more_outputs: tuple[str, ...] = ()
    numbered: bool = False
    estimate: TimeEstimate | None = None
    type: Literal["generate"] = "generate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop ``job`` at the next step, decoded frame or written frame."""

    job: str
    type: Literal["cancel"] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    type: Literal["exit"] = "exit"


# Events: worker -> engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First message. Versions are those of the libraries that the worker imported."""

    pid: int
    torch_version: str
    diffusers_version: str
    transformers_version: str
    cuda_version: str | None
    type: Literal["hello"] = "hello"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStage:
    """A stage of loading began; ``progress_ratio`` is the share of stages done before it."""

    stage: str
    progress_ratio: float
    type: Literal["load_stage"] = "load_stage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The model is ready. ``seconds`` counts from the Load command to here, imports left out."""

    seconds: float
    rate: DeviceRate
    type: Literal["loaded"] = "loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    reason: LoadFailureReason
    message: str
    type: Literal["load_failed"] = "load_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted:
    job: str
    phase: Phase
    type: Literal["phase"] = "phase"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """Denoising step ``step`` of ``steps`` (from 1) took ``seconds``."""

    job: str
    step: int
    steps: int
    expert: Expert
    seconds: float
    type: Literal["step"] = "step"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewReady:
    job: str
    preview: Preview
    type: Literal["preview"] = "preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Heartbeat with memory in bytes: resident of the process; on CUDA also torch's allocated, reserved and peak."""

    resident_bytes: int
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
    peak_bytes: int | None = None
    type: Literal["memory"] = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePeak:
    """The most that torch held on the device in one phase of a job."""

    phase: Phase
    allocated_bytes: int
    reserved_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinished:
    """The clip is at ``output``: whole, closed and under its final name; of several the others at ``more_outputs``.

    ``prompt_reused``: the prompt was still encoded from before. ``peaks`` are those of a GPU, exact. torch.compile took
    ``compile_seconds``, which ``seconds`` has and ``stages`` leave out. In ``measuring`` phases MagCache measured the
    model and skipped nothing: the next runs will.
    """

    job: str
    output: str
    seconds: float
    stages: tuple[StageSeconds, ...]
    video_seconds: float
    prompt_reused: bool = False
    peaks: tuple[PhasePeak, ...] = ()
    more_outputs: tuple[str, ...] = ()
    compile_seconds: float = 0.0
    measuring: tuple[Phase, ...] = ()
    type: Literal["finished"] = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed:
    """``needed_bytes``: after an out-of-memory on a GPU, what torch held and wanted more; None when it did not say."""

    job: str
    phase: Phase
    reason: JobFailureReason
    message: str
    needed_bytes: int | None = None
    type: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled:
    job: str
    type: Literal["cancelled"] = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    level: str
    message: str
    type: Literal["log"] = "log"


Command = Load | Generate | Cancel | Exit
Event = (
    Hello
    | LoadStage
    | Loaded
    | LoadFailed
    | PhaseStarted
    | StepDone
    | PreviewReady
    | Memory
    | JobFinished
    | JobFailed
    | JobCancelled
    | Log
)


def encode(message: Command | Event) -> bytes:
    """One line with its newline."""
    return json.dumps(dataclasses.asdict(message), separators=(",", ":")).encode() + b"\n"


def decode_command(line: bytes) -> Command:
    """Raises ProtocolError."""
    return _decode(_commands(), line)


def decode_event(line: bytes) -> Event:
    """Raises ProtocolError."""
    return _decode(_events(), line)


def _decode(adapter: TypeAdapter[_Message], line: bytes) -> _Message:
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        raise ProtocolError(f"not a message: {line[:200]!r} ({error.error_count()} problems)") from None


@functools.cache
def _commands() -> TypeAdapter[Command]:
    return TypeAdapter(Annotated[Command, Field(discriminator="type")])


@functools.cache
def _events() -> TypeAdapter[Event]:
    return TypeAdapter(Annotated[Event, Field(discriminator="type")])
