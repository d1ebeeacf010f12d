"""Plans and verdicts as the plain dictionaries of the documented Python API. Sizes are GiB with two decimals."""

from typing import Any

from wan_tui.core.catalog import Model
from wan_tui.core.catalog.gpus import GpuModel, bounded_gpu, search_gpu
from wan_tui.core.catalog.profiles import find_profile
from wan_tui.core.hardware.samples import GpuSample, HardwareSample
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.compatibility import judge
from wan_tui.core.planning.memory import GIB
from wan_tui.core.planning.plan import Compatibility, ExecutionPlan
from wan_tui.core.planning.planner import HostRoom, Room, Task, candidates
from wan_tui.core.words import AttentionBackend, OffloadMode, Quantization, Verdict

Answer = dict[str, Any]

# The card that each profile is made for.
HARDWARE_PROFILES = {
    "rtx-4080": "rtx 4080 16gb",
    "rtx-3080": "rtx 3080 10gb",
    "low-vram": "rtx 4060 8gb",
    "resident-bf16": "h100 80gb hbm3",
}

PRECISIONS = ("fp32", "fp16", "bf16", "fp8", "int8", "int4")

# The same question without the host's limits: enough memory for every weight.
_AMPLE_HOST_BYTES = 1024 * GIB


def precision_words(entry: Model) -> dict[str, None]:
    """What a user calls a precision: number formats to compute in and to store in, without the GGUF types."""
    names = [*entry.precisions, *(kind for kind in entry.quantizations if not kind.is_gguf)]
    return dict.fromkeys(name.value for name in names)


def on_card(entry: Model, gpu: GpuModel, profile: str = "auto") -> Compatibility:
    """The verdict on an empty card in a host with memory for everything."""
    room = Room(device="gpu:0", uuid=None, total_bytes=gpu.memory_bytes, free_bytes=gpu.memory_bytes, gpu=gpu)
    task = Task(model=entry, clip=default_clip(entry), profile=find_profile(profile))
    return judge(task, (room,), HostRoom(_AMPLE_HOST_BYTES, _AMPLE_HOST_BYTES))


def any_card(gib: float) -> GpuModel:
    """A card of that much memory, no faster than the slowest known one of its generation."""
    return bounded_gpu(f"a card with {gib:g} GiB", int(gib * GIB), (8, 9))


def least_bytes(entry: Model) -> int:
    """Bytes of the least that the default clip takes on any card, at whatever cost in time."""
    gpu = search_gpu(HARDWARE_PROFILES["resident-bf16"])
    room = Room(device="gpu:0", uuid=None, total_bytes=gpu.memory_bytes, free_bytes=gpu.memory_bytes, gpu=gpu)
    task = Task(model=entry, clip=default_clip(entry), profile=find_profile("auto"))
    _, least = candidates(task, room, HostRoom(_AMPLE_HOST_BYTES, _AMPLE_HOST_BYTES), 0)
    assert least is not None
    return least.memory.peak_bytes


def profile_facts(entry: Model, profile: str, card: str) -> Answer:
    gpu = search_gpu(card)
    found = on_card(entry, gpu, profile)
    return {
        "target_gpu": gpu.label,
        "verdict": found.verdict.value,
        "vram_requirement_gb": to_gib(found.memory.peak_bytes) if found.memory else None,
        "batch_size": found.plan.batch if found.plan else 1,
        "precision": _precision_word(found.plan),
        "inference_time_seconds": seconds_of(found),
        "optimizations": _optimizations(found.plan),
    }


def seconds_of(found: Compatibility) -> float | None:
    return round(found.seconds.expected, 1) if found.seconds else None


def _precision_word(plan: ExecutionPlan | None) -> str | None:
    """What the transformers are stored in: what a user calls the precision."""
    if plan is None:
        return None
    stored = plan.quantization is not Quantization.NONE
    return plan.quantization.value if stored else plan.precision.value


def plan_facts(plan: ExecutionPlan | None) -> Answer:
    if plan is None:
        return {}
    return {
        "precision": _precision_word(plan),
        "compute_precision": plan.precision.value,
        "offload": plan.offload.value,
        "text_encoder": "host" if plan.text_encoder_on_cpu else plan.text_encoder_quantization.value,
        "vae_precision": plan.vae_precision.value,
        "enable_xformers": plan.attention is AttentionBackend.XFORMERS,
        "vae_tile_size": 256 if plan.vae_tiling else None,
        "cpu_offload": plan.offload is not OffloadMode.NONE,
        "enable_attention_slicing": False,
        "enable_sequential_cpu_offload": plan.offload is OffloadMode.SEQUENTIAL,
        "batch_size": plan.batch,
    }


def _optimizations(plan: ExecutionPlan | None) -> list[str]:
    if plan is None:
        return []
    return [
        *(["vae_tiling"] if plan.vae_tiling else []),
        *([] if plan.quantization is Quantization.NONE else [f"{plan.quantization.value}_weights"]),
        *([] if plan.offload is OffloadMode.NONE else [f"{plan.offload.value}_offload"]),
        *(["text_encoder_on_host"] if plan.text_encoder_on_cpu else []),
    ]


def recommendations(found: Compatibility) -> list[str]:
    if found.verdict is Verdict.FITS:
        return []
    return [found.reason, *(remedy.title for remedy in found.remedies)]


def gpu_of(found: Compatibility, hardware: HardwareSample) -> GpuSample | None:
    uuid = found.plan.gpu_uuid if found.plan else None
    return next((gpu for gpu in hardware.gpus if uuid is not None and gpu.uuid == uuid), None)


def largest_size(entry: Model) -> str:
    """The published landscape size with most pixels: 1280x720 for A14B, 1280x704 for 5B."""
    width = 1280 if entry.max_pixels > 256 * 256 else 256
    return f"{width}x{entry.max_pixels // width}"


def to_gib(size: float | None) -> float | None:
    return None if size is None else round(size / GIB, 2)
