"""Requests, plans, estimates and verdicts as data."""

import dataclasses
from dataclasses import dataclass

from wan_tui.core.words import (
    AttentionBackend,
    Basis,
    OffloadMode,
    Phase,
    Precision,
    Quantization,
    StepCache,
    Verdict,
)

# torch seeds a generator with a signed 64-bit number.
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What to generate. ``width`` and ``height`` are pixels; ``frames`` follows the 4k+1 rule once normalised.

    ``output`` is the path of the MP4 to write, or None for a file named after the job in the output directory.
    ``image`` is the path of the conditioning picture (i2v, ti2v). ``videos`` are made at once, with seeds that follow
    each other; each goes to a file of its own.

    What becomes of the job: a higher ``priority`` goes first, ``timeout_seconds`` count from its start on the worker,
    ``retries`` are for a dead worker, a lack of memory or an internal failure, and ``requeue`` says whether it begins
    again after its engine ended under it.
    """

    deployment: str
    prompt: str
    width: int
    height: int
    frames: int
    steps: int
    guidance: float
    seed: int
    negative_prompt: str = ""
    image: str | None = None
    output: str | None = None
    priority: int = 0
    timeout_seconds: float | None = None
    retries: int = 0
    requeue: bool = True
    videos: int = 1

    @property
    def clip(self) -> "Clip":
        return Clip(width=self.width, height=self.height, frames=self.frames, steps=self.steps, guidance=self.guidance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Shape and effort of one generation: pixels, frames (4k+1), denoising steps, guidance scale."""

    width: int
    height: int
    frames: int
    steps: int
    guidance: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """A figure with its interval, all three in one unit."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPlan:
    """One concrete way to run a model. ``device`` is ``cpu`` or ``gpu:N`` (N is the NVML index).

    ``precision`` is what the transformers and the text encoder compute in; ``quantization`` is how the transformers
    are stored. ``offload_stream`` overlaps moving weights with computing (group offload). ``batch`` is clips at once.
    ``compile``: the transformer blocks go through torch.compile. ``lora_parameters``: what LoRAs add to a transformer.
    """

    device: str
    gpu_uuid: str | None
    precision: Precision
    vae_precision: Precision
    offload: OffloadMode
    vae_tiling: bool
    quantization: Quantization = Quantization.NONE
    text_encoder_quantization: Quantization = Quantization.NONE
    text_encoder_on_cpu: bool = False
    offload_stream: bool = False
    vae_slicing: bool = False
    attention: AttentionBackend = AttentionBackend.SDPA
    cache: StepCache = StepCache.NONE
    batch: int = 1
    compile: bool = False
    lora_parameters: int = 0

    @property
    def options(self) -> str:
        """In words: ``everything resident``, ``nf4 weights, model offload, VAE tiling``."""
        words = [f"{self.quantization.value} weights"] if self.quantization is not Quantization.NONE else []
        if self.offload is not OffloadMode.NONE:
            words.append(f"{self.offload.value.replace('_', ' ')} offload")
        elif not self.text_encoder_on_cpu:
            words.insert(0, "everything resident")
        if self.text_encoder_on_cpu:
            words.append("the text encoder on the host")
        elif self.text_encoder_quantization is not Quantization.NONE:
            words.append(f"a {self.text_encoder_quantization.value} text encoder")
        if self.vae_tiling:
            words.append("VAE tiling")
        if self.cache is not StepCache.NONE:
            words.append(f"{self.cache.value.replace('_', '-')} cache")
        if self.attention is not AttentionBackend.SDPA:
            words.append(f"{self.attention} attention")
        if self.compile:
            words.append("compiled blocks")
        if self.batch > 1:
            words.append(f"{self.batch} videos at once")
        return ", ".join(words)


def with_videos(plan: ExecutionPlan, videos: int) -> ExecutionPlan:
    """``plan`` when so many videos are made at once; their latents are decoded one after the other."""
    if videos == plan.batch:
        return plan
    return dataclasses.replace(plan, batch=videos, vae_slicing=plan.vae_slicing or videos > 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseMemory:
    """Device memory of one phase: resident weights, activations, and what no tensor shows.

    ``context_bytes``: the CUDA context, which never leaves. ``workspace_bytes``: scratch memory of kernels.
    ``slack_bytes``: what the allocator holds and nobody uses.
    """

    phase: Phase
    weights_bytes: int
    activation_bytes: int
    context_bytes: int
    workspace_bytes: int = 0
    slack_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.activation_bytes + self.context_bytes + self.workspace_bytes + self.slack_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Predicted device memory: after load, at the peak (the largest phase), and the host's share.

    ``runs`` of this device corrected it when its basis is ``calibrated``.
    """

    basis: Basis
    loaded_bytes: int
    peak_bytes: int
    host_bytes: int
    host_load_bytes: int = 0
    phases: tuple[PhaseMemory, ...]
    runs: int = 0


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Seconds of one stage; an estimate that was calibrated also has its 90 % interval."""

    stage: Phase
    seconds: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEstimate:
    """Predicted seconds of one generation, without loading and without waiting.

    ``runs`` of this device corrected it when its basis is ``calibrated``. ``report`` names the measurements of such
    a card that a modelled one started from, None when it is the model's alone.
    """

    basis: Basis
    total_seconds: Bounds
    stages: tuple[StageSeconds, ...]
    runs: int = 0
    report: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A change that would make a deployment fit, and what is predicted once it is made.

    ``changes`` are settings of the deployment by their dotted keys (``defaults.frames``, ``profile``, ``device``); a
    remedy without any is something to do on the host.
    """

    title: str
    changes: tuple[tuple[str, str | int], ...]
    verdict: Verdict
    headroom_bytes: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """The answer to "will it fit": a verdict, the reason in one sentence, and the plan it holds for.

    ``headroom_bytes`` is the device memory that is free minus the estimated peak (negative: short by), None when
    unknown; ``device_bytes`` is what the device has, ``limiting_phase`` where the peak is. ``seconds`` and
    ``load_seconds`` are modelled, from the published rates of the card; None on a processor, which has no such figures.
    """

    verdict: Verdict
    reason: str
    plan: ExecutionPlan | None = None
    memory: MemoryEstimate | None = None
    headroom_bytes: int | None = None
    device_bytes: int | None = None
    limiting_phase: Phase | None = None
    seconds: Bounds | None = None
    load_seconds: Bounds | None = None
    remedies: tuple[Remedy, ...] = ()
