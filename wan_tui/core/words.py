"""The words of the product: every bounded vocabulary, one enum each.

Values are what appears in JSON, in metric labels and on screen, so they never change silently.
"""

from enum import StrEnum


class Verdict(StrEnum):
    """Whether a deployment can run on its device."""

    FITS = "fits"
    TIGHT = "tight"
    OFFLOAD_REQUIRED = "offload_required"
    INCOMPATIBLE = "incompatible"
    UNKNOWN = "unknown"


class Basis(StrEnum):
    """Where an estimated figure comes from."""

    MODELLED = "modelled"
    CALIBRATED = "calibrated"
    DECLARED = "declared"


class Precision(StrEnum):
    """Number format of a component's weights, in torch's spelling without the prefix."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"

    @property
    def bytes_per_parameter(self) -> int:
        return 4 if self is Precision.FP32 else 2


class Quantization(StrEnum):
    """How the weights of a component are stored when not in its precision; they are widened to compute."""

    NONE = "none"
    FP8 = "fp8"  # diffusers' layerwise casting
    INT8 = "int8"  # torchao, weight only
    INT4 = "int4"  # torchao, weight only
    NF4 = "nf4"  # bitsandbytes
    Q8_0 = "q8_0"  # from here on: GGUF
    Q6_K = "q6_k"
    Q5_K_M = "q5_k_m"
    Q4_K_M = "q4_k_m"
    Q3_K_M = "q3_k_m"
    Q2_K = "q2_k"

    @property
    def is_gguf(self) -> bool:
        return self.value.startswith("q")


class Preparation(StrEnum):
    """Number format of a prepared checkpoint's transformers; the text encoder follows in 16 bit, the VAE stays."""

    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"


class LoraExpert(StrEnum):
    """Which transformers a LoRA goes into."""

    BOTH = "both"
    HIGH_NOISE = "high_noise"
    LOW_NOISE = "low_noise"


class OffloadMode(StrEnum):
    """What leaves the device when it is not computing (diffusers' terms)."""

    NONE = "none"
    MODEL = "model"
    GROUP_BLOCK = "group_block"
    GROUP_LEAF = "group_leaf"
    SEQUENTIAL = "sequential"


class AttentionBackend(StrEnum):
    """Kernel of the transformer's attention; ``sdpa`` is torch's own choice."""

    SDPA = "sdpa"
    FLASH = "flash"
    XFORMERS = "xformers"
    SAGE = "sage"


class StepCache(StrEnum):
    """What is reused between denoising steps (diffusers' caches)."""

    NONE = "none"
    FIRST_BLOCK = "first_block"
    MAG = "mag"
    TAYLOR_SEER = "taylor_seer"


class Feature(StrEnum):
    """What a model can be run with; ``attention_slicing`` is not among them: the Wan transformers cannot."""

    SDPA = "sdpa"
    FLASH_ATTENTION = "flash_attention"
    XFORMERS = "xformers"
    SAGE_ATTENTION = "sage_attention"
    VAE_TILING = "vae_tiling"
    VAE_SLICING = "vae_slicing"
    MODEL_OFFLOAD = "model_offload"
    GROUP_OFFLOAD = "group_offload"
    SEQUENTIAL_OFFLOAD = "sequential_offload"
    LORA = "lora"
    GGUF = "gguf"
    STEP_CACHE = "step_cache"


class LoadState(StrEnum):
    UNLOADED = "unloaded"
    LOADING = "loading"
    LOADED = "loaded"
    UNLOADING = "unloading"
    FAILED = "failed"


class Phase(StrEnum):
    """What a worker is doing; all but ``idle`` are also the stages whose seconds are recorded."""

    IDLE = "idle"
    TEXT_ENCODE = "text_encode"
    IMAGE_ENCODE = "image_encode"
    DENOISE_HIGH_NOISE = "denoise_high_noise"
    DENOISE_LOW_NOISE = "denoise_low_noise"
    VAE_DECODE = "vae_decode"
    WRITE_OUTPUT = "write_output"


STAGES: tuple[Phase, ...] = tuple(phase for phase in Phase if phase is not Phase.IDLE)


class Expert(StrEnum):
    """Which transformer takes a denoising step; a dense model counts as ``high_noise``."""

    HIGH_NOISE = "high_noise"
    LOW_NOISE = "low_noise"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # its engine ended before it did

    @property
    def ended(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobFailureReason(StrEnum):
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"
    LOAD_FAILED = "load_failed"
    INVALID_REQUEST = "invalid_request"
    OUTPUT = "output"
    CHECKPOINT = "checkpoint"
    INTERNAL = "internal"


class LoadFailureReason(StrEnum):
    OUT_OF_MEMORY = "out_of_memory"
    CHECKPOINT = "checkpoint"
    ENVIRONMENT = "environment"
    INCOMPATIBLE = "incompatible"
    WORKER_DIED = "worker_died"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class UnloadCause(StrEnum):
    OPERATOR = "operator"
    IDLE = "idle"
    EVICTED = "evicted"
    SHUTDOWN = "shutdown"
    RECONFIGURED = "reconfigured"
    REPLANNED = "replanned"
    FAILED = "failed"


class RestartReason(StrEnum):
    """Why a worker was started again."""

    OPERATOR = "operator"
    CRASHED = "crashed"
    STALLED = "stalled"
    OUT_OF_MEMORY = "out_of_memory"
    LOAD_FAILED = "load_failed"


class ReplanReason(StrEnum):
    """Why a loaded deployment gets another plan for its next job."""

    MEMORY_TAKEN = "memory_taken"
    MEMORY_FREED = "memory_freed"
    THROTTLED = "throttled"
    SLOW_STEPS = "slow_steps"


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Outcome(StrEnum):
    """How a validation rule came out."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Resolution(StrEnum):
    """Metric label: the size class of a clip, by its number of pixels."""

    P480 = "480p"
    P720 = "720p"
    OTHER = "other"

    @classmethod
    def of(cls, width: int, height: int) -> "Resolution":
        """Class of a ``width`` x ``height`` frame: the published sizes within 5 % of their area."""
        for name, area in ((cls.P480, 832 * 480), (cls.P720, 1280 * 720)):
            if abs(width * height - area) <= 0.05 * area:
                return name
        return cls.OTHER
