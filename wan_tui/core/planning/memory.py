"""Will it fit: device and host memory of a plan, phase by phase.

The peak is the largest phase, not the sum of the parts: the text encoder, one expert and the VAE never compute
at the same time, and with offload they are not even on the device together. Activations come from runs of the real
modules (``activations``); what no tensor shows (context, kernels' workspaces, fragments) are terms of their own.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from wan_tui.core.catalog import Component, Model
from wan_tui.core.planning import activations
from wan_tui.core.planning.plan import Clip, ExecutionPlan, MemoryEstimate, PhaseMemory
from wan_tui.core.planning.step_cache import held_bytes
from wan_tui.core.planning.weights import all_bytes, component_bytes, piece_bytes
from wan_tui.core.words import Basis, OffloadMode, Phase, Precision, StepCache

GIB = 2**30

# Seen by NVML and not by torch: CUDA context with cuBLAS and cuDNN handles, 0.3 to 0.6 GiB on cards of 2020 to 2025.
CUDA_CONTEXT_BYTES = GIB // 2
# Workspaces that cuDNN's 3D convolutions and cuBLAS ask the allocator for; no tensor shows them.
WORKSPACE_BYTES = {
    Phase.TEXT_ENCODE: 32 << 20,
    Phase.IMAGE_ENCODE: 256 << 20,
    Phase.DENOISE_HIGH_NOISE: 64 << 20,
    Phase.DENOISE_LOW_NOISE: 64 << 20,
    Phase.VAE_DECODE: 256 << 20,
}
# The caching allocator leaves 5 to 15 % of what is computed with in fragments.
FRAGMENTATION = 0.10


def estimate_memory(model: Model, plan: ExecutionPlan, clip: Clip, *, with_image: bool | None = None) -> MemoryEstimate:
    """Memory of making ``clip`` under ``plan``, in bytes.

    ``with_image``: whether a picture is encoded (default: when the model needs one).
    """
    image = model.task.needs_image if with_image is None else with_image and model.task.takes_image
    # A plan takes the same on every GPU: what was worked out for one is looked up for the next.
    place = "cpu" if plan.device == "cpu" else "gpu:0"
    return _estimate(model, dataclasses.replace(plan, device=place, gpu_uuid=None), clip, image)


@functools.lru_cache(maxsize=4096)
def _estimate(model: Model, plan: ExecutionPlan, clip: Clip, image: bool) -> MemoryEstimate:
    phases = tuple(_phases(model, plan, clip, image))
    context = 0 if plan.device == "cpu" else CUDA_CONTEXT_BYTES
    return MemoryEstimate(
        basis=Basis.MODELLED,
        loaded_bytes=context + _loaded_bytes(model, plan),
        peak_bytes=max(phase.total_bytes for phase in phases),
        host_bytes=_host_bytes(model, plan),
        host_load_bytes=_host_load_bytes(model, plan),
        phases=phases,
    )


def _phases(model: Model, plan: ExecutionPlan, clip: Clip, image: bool) -> Iterator[PhaseMemory]:
    needs = _activation_bytes(
        model, clip, plan.precision, plan.vae_precision, plan.vae_tiling, plan.vae_slicing, plan.batch, plan.cache
    )
    if not _encodes_on_host(plan):
        yield _phase(model, plan, Phase.TEXT_ENCODE, model.text_encoder, needs[Phase.TEXT_ENCODE])
    if image:
        yield _phase(model, plan, Phase.IMAGE_ENCODE, model.vae, needs[Phase.IMAGE_ENCODE])
    experts = (Phase.DENOISE_HIGH_NOISE, Phase.DENOISE_LOW_NOISE)[: model.experts]
    for phase in experts:
        yield _phase(model, plan, phase, model.transformer, needs[phase])
    yield _phase(model, plan, Phase.VAE_DECODE, model.vae, needs[Phase.VAE_DECODE])


# Offload, quantization and device change none of it, so most plans of a search ask for the same.
@functools.lru_cache(maxsize=4096)
def _activation_bytes(
    model: Model,
    clip: Clip,
    precision: Precision,
    vae_precision: Precision,
    tiled: bool,
    sliced: bool,
    batch: int,
    cache: StepCache,
) -> Mapping[Phase, int]:
    tokens = model.tokens(clip.width, clip.height, clip.frames)
    forward = activations.denoise_bytes(model, tokens=tokens, batch=batch, precision=precision)
    held = activations.denoise_held_bytes(model, tokens=tokens, batch=batch, precision=precision)
    passes = 2 if clip.guidance > 1.0 else 1
    held += held_bytes(model, cache, tokens=tokens, batch=batch, passes=passes, precision=precision)
    encode = activations.encode_image_bytes(
        model, width=clip.width, height=clip.height, frames=clip.frames, precision=vae_precision, tiled=tiled
    )
    decode = activations.decode_bytes(
        model,
        width=clip.width,
        height=clip.height,
        frames=clip.frames,
        precision=vae_precision,
        tiled=tiled,
        sliced=sliced,
        batch=batch,
    )
    return MappingProxyType(
        {
            Phase.TEXT_ENCODE: activations.text_encode_bytes(model, batch=batch, precision=precision),
            Phase.IMAGE_ENCODE: encode,
            Phase.DENOISE_HIGH_NOISE: forward + held,
            Phase.DENOISE_LOW_NOISE: forward + held,
            Phase.VAE_DECODE: decode,
        }
    )


def _phase(model: Model, plan: ExecutionPlan, phase: Phase, computing: Component, activation_bytes: int) -> PhaseMemory:
    on_gpu = plan.device != "cpu"
    return PhaseMemory(
        phase=phase,
        weights_bytes=_resident_bytes(model, plan, computing),
        activation_bytes=activation_bytes,
        context_bytes=CUDA_CONTEXT_BYTES if on_gpu else 0,
        workspace_bytes=WORKSPACE_BYTES[phase] if on_gpu else 0,
        slack_bytes=int(activation_bytes * FRAGMENTATION) if on_gpu else 0,
    )


def _resident_bytes(model: Model, plan: ExecutionPlan, computing: Component) -> int:
    """Weights on the device while ``computing`` runs."""
    match plan.offload:
        case OffloadMode.NONE:
            return _loaded_bytes(model, plan)
        case OffloadMode.GROUP_BLOCK | OffloadMode.GROUP_LEAF if computing is not model.vae:
            # The VAE is never grouped, so it never leaves.
            return piece_bytes(model, plan, computing) + component_bytes(model, plan, model.vae)
        case _:
            return piece_bytes(model, plan, computing)


def _loaded_bytes(model: Model, plan: ExecutionPlan) -> int:
    """Weights on the device right after loading."""
    match plan.offload:
        case OffloadMode.NONE:
            off = component_bytes(model, plan, model.text_encoder) if _encodes_on_host(plan) else 0
            return all_bytes(model, plan) - off
        case OffloadMode.GROUP_BLOCK | OffloadMode.GROUP_LEAF:
            return component_bytes(model, plan, model.vae)
        case _:
            return 0


def _host_bytes(model: Model, plan: ExecutionPlan) -> int:
    """Weights that stay in the memory of the host."""
    if plan.device == "cpu" or plan.offload is not OffloadMode.NONE:
        return all_bytes(model, plan)
    return component_bytes(model, plan, model.text_encoder) if _encodes_on_host(plan) else 0


def _host_load_bytes(model: Model, plan: ExecutionPlan) -> int:
    """The most that the host holds while loading: components are read one by one, and those that stay stay."""
    largest = max(component_bytes(model, plan, component) for _, component in model.components)
    return max(_host_bytes(model, plan), largest)


def _encodes_on_host(plan: ExecutionPlan) -> bool:
    return plan.text_encoder_on_cpu and plan.device != "cpu"
