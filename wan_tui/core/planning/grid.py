"""What a benchmark runs: sizes, frames and steps under a few execution plans; read from TOML, or a model's default.

    sizes = ["832x480", "1280x720"]
    frames = [17, 81]
    steps = [4]

    [[plans]]
    precision = "bf16"
    quantization = "fp8"
    offload = "group_leaf"
    stream = true

Every plan makes every clip. Keys that are left out are the model's defaults.
"""

import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from wan_tui.core.catalog import Model
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.planning.plan import Clip, ExecutionPlan
from wan_tui.core.words import AttentionBackend, OffloadMode, Precision, Quantization, StepCache

MAX_BYTES = 1 << 20
MAX_RUNS = 1000
# The fewest steps in which both experts of a two-expert model take their turn, with one to spare for the warm-up.
DEFAULT_STEPS = 3

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def _size(value: object) -> object:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip().casefold())):
        return int(match[1]), int(match[2])
    if isinstance(value, str):
        raise ValueError("write WIDTHxHEIGHT in pixels, as 832x480")
    return value


Size = Annotated[tuple[int, int], BeforeValidator(_size)]
Positive = Annotated[int, Field(ge=1, le=100_000)]


class PlanOptions(BaseModel):
    """How to run, as far as it does not depend on the device. ``tiling`` None: only where a clip would not fit without.

    ``precision`` None is bf16 on a GPU (fp16 before Ampere) and fp32 on a processor.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: Precision | None = None
    vae_precision: Precision = Precision.FP32
    quantization: Quantization = Quantization.NONE
    text_encoder_quantization: Quantization = Quantization.NONE
    text_encoder_on_cpu: bool = False
    offload: OffloadMode = OffloadMode.NONE
    stream: bool = False
    tiling: bool | None = None
    slicing: bool = False
    attention: AttentionBackend = AttentionBackend.SDPA
    cache: StepCache = StepCache.NONE
    compile: bool = False

    def plan(self, device: str, gpu_uuid: str | None, precision: Precision) -> ExecutionPlan:
        """The plan on ``device``; ``precision`` where the options leave it open. Without tiling where that is open."""
        return ExecutionPlan(
            device=device,
            gpu_uuid=gpu_uuid,
            precision=self.precision or precision,
            vae_precision=self.vae_precision,
            offload=self.offload,
            vae_tiling=bool(self.tiling),
            quantization=self.quantization,
            text_encoder_quantization=self.text_encoder_quantization,
            text_encoder_on_cpu=self.text_encoder_on_cpu,
            offload_stream=self.stream,
            vae_slicing=self.slicing,
            attention=self.attention,
            cache=self.cache,
            compile=self.compile,
        )


@dataclass(frozen=True, slots=True)
class Round:
    """Plans and the clips that each of them makes. What matters most comes first, in each."""

    plans: tuple[PlanOptions, ...]
    clips: tuple[Clip, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """All runs of a benchmark, in the order in which they are made: when time is up, the best is done."""

    rounds: tuple[Round, ...]

    def __len__(self) -> int:
        return sum(len(one.plans) * len(one.clips) for one in self.rounds)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: Annotated[tuple[Size, ...], Field(min_length=1)] | None = None
    frames: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    steps: Annotated[tuple[Annotated[int, Field(ge=1, le=1000)], ...], Field(min_length=1)] | None = None
    guidance: Annotated[float, Field(ge=0, le=100)] | None = None
    plans: Annotated[tuple[PlanOptions, ...], Field(min_length=1)] | None = None


def read_grid(file: Path, model: Model, *, on_gpu: bool, steps: int | None = None) -> Grid:
    """The grid of ``file`` for ``model``; ``steps`` replaces the file's.

    Raises UsageError naming file, key and value, in one line.
    """
    try:
        content = file.read_bytes()[: MAX_BYTES + 1]
    except OSError as error:
        raise WanTuiError(f"cannot read {file}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{file}: larger than {MAX_BYTES >> 20} MiB")
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from None
    try:
        found = _File.model_validate(table)
    except ValidationError as error:
        raise UsageError(f"{file}: {_problem(error)}") from None
    if (problem := _misfit(found, model)) is not None:
        raise UsageError(f"{file}: {problem}")
    standard = default_grid(model, on_gpu=on_gpu)
    plans = found.plans or tuple(dict.fromkeys(plan for one in standard.rounds for plan in one.plans))
    guidance = model.default_guidance if found.guidance is None else found.guidance
    clips = tuple(
        Clip(width=width, height=height, frames=frames, steps=count, guidance=guidance)
        for (width, height), frames, count in itertools.product(
            found.sizes or (model.default_size,),
            found.frames or (model.default_frames,),
            (steps,) if steps else found.steps or (_default_steps(model),),
        )
    )
    grid = Grid((Round(plans, clips),))
    if len(grid) > MAX_RUNS:
        raise UsageError(f"{file}: {len(grid)} runs; at most {MAX_RUNS}: shorten sizes, frames, steps or plans")
    return grid


def default_grid(model: Model, *, on_gpu: bool, steps: int | None = None) -> Grid:
    """What to measure of ``model`` unasked; ``steps`` a clip.

    A pocket model (or a processor) makes three small clips under two plans. Else the sizes that are published for the
    model and three lengths, under the five plans that answer most questions: first each plan on a small clip, so that
    it is known at once what runs at all, and on the model's own length; then the larger size; then what lies between.
    """
    count = steps or _default_steps(model)

    def clip(size: tuple[int, int], frames: int) -> Clip:
        return Clip(width=size[0], height=size[1], frames=frames, steps=count, guidance=model.default_guidance)

    if model.weights == "pocket" or not on_gpu:
        sides = [model.nearest_side(side) for side in (64, 128)]
        small, large = (sides[0], sides[0]), (sides[1], sides[1])
        second = PlanOptions(precision=Precision.BF16, quantization=Quantization.FP8)
        clips = (clip(small, 9), clip(large, 9), clip(large, 17))
        return Grid((Round((PlanOptions(), second), clips),))
    plans = (
        PlanOptions(),
        PlanOptions(quantization=Quantization.FP8),
        PlanOptions(offload=OffloadMode.MODEL),
        PlanOptions(quantization=Quantization.INT8),
        PlanOptions(offload=OffloadMode.GROUP_LEAF, stream=True),
    )
    p480 = (832, 480)
    p720 = (1280, model.nearest_side(720) if model.size_multiple <= 16 else 704)
    longest = model.default_frames
    return Grid(
        (
            Round(plans, (clip(p480, 17), clip(p480, longest))),
            Round(plans, (clip(p720, longest),)),
            Round(plans, (clip(p720, 17), clip(p480, 49), clip(p720, 49))),
        )
    )


def _default_steps(model: Model) -> int:
    return min(DEFAULT_STEPS, model.default_steps)


def _misfit(found: _File, model: Model) -> str | None:
    """What the model cannot make of a grid that is well formed, as ``key = value: why``."""
    for number, (width, height) in enumerate(found.sizes or ()):
        nearest = f"{model.nearest_side(width)}x{model.nearest_side(height)}"
        if nearest != f"{width}x{height}":
            why = f"{model.id} makes multiples of {model.size_multiple}; nearest: {nearest}"
            return f"sizes.{number} = '{width}x{height}': {why}"
        if width * height > model.max_pixels:
            return f"sizes.{number} = '{width}x{height}': {model.id} makes at most {model.max_pixels} pixels a frame"
    for number, frames in enumerate(found.frames or ()):
        if frames != model.nearest_frames(frames):
            return f"frames.{number} = {frames}: frames follow 4k+1; nearest: {model.nearest_frames(frames)}"
        if frames > model.max_frames:
            return f"frames.{number} = {frames}: {model.id} makes at most {model.max_frames}"
    for number, plan in enumerate(found.plans or ()):
        for key, value in _unknown_options(plan, model):
            return f"plans.{number}.{key} = '{value}': not for {model.id}"
        if plan.stream and plan.offload not in (OffloadMode.GROUP_BLOCK, OffloadMode.GROUP_LEAF):
            return f"plans.{number}.stream = true: only with offload = 'group_leaf' or 'group_block'"
    return None


def _unknown_options(plan: PlanOptions, model: Model) -> Iterator[tuple[str, str]]:
    if plan.precision is not None and plan.precision not in model.precisions:
        yield "precision", plan.precision.value
    if plan.quantization is not Quantization.NONE and plan.quantization not in model.quantizations:
        yield "quantization", plan.quantization.value
    # Text encoders are stored in 4 bit or not at all.
    if plan.text_encoder_quantization not in (Quantization.NONE, Quantization.NF4):
        yield "text_encoder_quantization", plan.text_encoder_quantization.value


def _problem(error: ValidationError) -> str:
    problem: Any = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = PlanOptions.model_fields if problem["loc"][0] == "plans" else _File.model_fields
        return f"{key}: {unknown_name('key', str(problem['loc'][-1]), known)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key} = {str(problem['input'])[:80]!r}: {message[0].lower()}{message[1:]}"
