"""The true architecture of any model of the catalogue with random weights: what a device does, before a download.

Networks are built on torch's meta device in the formats of the plan, then filled parameter by parameter where the plan
keeps them, so that neither the host nor the device ever holds a second copy. Values are random and not zero: a GPU
draws less power on zeros and clocks higher. Classes, formats and placement are those of a loaded checkpoint.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

from wan_tui.core.catalog import Component, Model
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.words import LoadFailureReason, OffloadMode, Quantization
from wan_tui.worker.failures import is_out_of_memory
from wan_tui.worker.load import LoadedModel, LoadError, Report, _device, place
from wan_tui.worker.profile import DTYPES, build
from wan_tui.worker.step_caches import StepCaches

# Normal values are drawn once and copied from: drawing 14 billion on a processor takes minutes. A prime, so that no row
# of a weight repeats another.
POOL_VALUES = 4_194_301
# Tokens of the random prompt; the rest of its length is padding, as after a short sentence.
SPOKEN_TOKENS = 48


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """What a tokenizer returns: ids and which of them are no padding, both prompts x length."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor


class RandomTokenizer:
    """Random ids in the place of a tokenizer: encoding takes as long whatever they mean."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        self._vocabulary = vocabulary
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, prompts: list[str], *, max_length: int, **_: object) -> PromptTokens:
        shape = (len(prompts), max_length)
        ids = torch.randint(2, self._vocabulary, shape, generator=self._generator)
        mask = (torch.arange(max_length) < SPOKEN_TOKENS).long().expand(shape)
        return PromptTokens(input_ids=ids * mask, attention_mask=mask)


def build_synthetic(model: Model, plan: ExecutionPlan, report: Report, *, seed: int = 0) -> LoadedModel:
    """``model`` with random weights as ``plan`` says, telling ``report`` each stage.

    Raises LoadError; its reason is ``environment`` for a plan that needs the values of a checkpoint.
    """
    try:
        _check(plan)
        device = _device(plan)
        if model.weights == "pocket":
            torch.set_num_threads(1)  # as for the pocket model from its files
        components: dict[str, Any] = {}
        for number, (role, component) in enumerate(model.components):
            report(f"make {role}", number / (len(model.components) + 1))
            stays = plan.offload is OffloadMode.NONE and not (role == "text_encoder" and plan.text_encoder_on_cpu)
            home = device if stays else torch.device("cpu")
            components[role] = make_component(component, _plan_of(component, plan), home, seed=seed + number)
        pipeline = _pipeline(model, components, seed)
        report("place on device", 0.8)
        place(pipeline, plan, device)
    except Exception as error:
        raise _load_error(error, model) from error
    return LoadedModel(model=model, plan=plan, device=device, pipeline=pipeline, caches=StepCaches(plan.cache))


def make_component(component: Component, plan: ExecutionPlan, device: torch.device, *, seed: int = 0) -> Any:
    """One network on ``device``, filled as it is made: its bytes are all that is ever allocated."""
    module = build(component, plan.precision, layers=None)
    if plan.quantization is Quantization.FP8:
        # On meta, so that the parameters are 8 bit before there are any.
        module.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=DTYPES[plan.precision])
    _restore_buffers(module, component, device)
    pool = torch.randn(POOL_VALUES, generator=torch.Generator(device).manual_seed(seed), device=device)
    quantize = _quantizer(plan.quantization)
    kept = tuple(module._keep_in_fp32_modules or ())
    filled: dict[int, torch.nn.Parameter] = {}
    for path, part in module.named_modules():
        for name, parameter in part.named_parameters(recurse=False):
            if id(parameter) not in filled:  # the embedding of a text encoder has two names
                values = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                _fill(values, part, name, pool)
                filled[id(parameter)] = torch.nn.Parameter(values, requires_grad=False)
            setattr(part, name, filled[id(parameter)])
        # The rule by which diffusers leaves layers out, over the name of the weight.
        if quantize and isinstance(part, torch.nn.Linear) and not any(f"{key}." in f"{path}.weight" for key in kept):
            quantize(part)
    return module


def _check(plan: ExecutionPlan) -> None:
    """Raises LoadError for formats that only reading a checkpoint makes."""
    kinds = {plan.quantization, plan.text_encoder_quantization}
    for kind in kinds:
        if kind is Quantization.NF4 or kind.is_gguf:
            how = "GGUF files hold" if kind.is_gguf else "bitsandbytes makes while it reads a checkpoint"
            raise LoadError(LoadFailureReason.ENVIRONMENT, f"no random {kind} weights: they are what {how}")


def _plan_of(component: Component, plan: ExecutionPlan) -> ExecutionPlan:
    """``plan`` as it holds for one network: only transformers are quantized, a VAE has a precision of its own."""
    if component.class_name == "AutoencoderKLWan":
        return dataclasses.replace(plan, precision=plan.vae_precision, quantization=Quantization.NONE)
    if component.class_name == "UMT5EncoderModel":
        return dataclasses.replace(plan, quantization=plan.text_encoder_quantization)
    return plan


def _pipeline(model: Model, components: dict[str, Any], seed: int) -> Any:
    parts = {
        "transformer_2": None,
        **components,
        "tokenizer": RandomTokenizer(int(model.text_encoder.config["vocab_size"]), seed),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=model.flow_shift,
            num_train_timesteps=1000,
        ),
        "boundary_ratio": model.boundary_ratio,
        "expand_timesteps": model.expand_timesteps,
    }
    if model.task.needs_image:
        return WanImageToVideoPipeline(**parts, image_encoder=None, image_processor=None)
    return WanPipeline(**parts)


def _restore_buffers(module: Any, component: Component, device: torch.device) -> None:
    """Tables that a constructor computes are empty on meta: make them again, for real."""
    for path, part in list(module.named_modules()):
        if isinstance(part, WanRotaryPosEmbed):
            config = component.config
            fresh = WanRotaryPosEmbed(
                config["attention_head_dim"], tuple(config["patch_size"]), config["rope_max_seq_len"]
            )
            module.set_submodule(path, fresh.to(device))
    lost = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if lost:
        raise LoadError(LoadFailureReason.ENVIRONMENT, f"{component.class_name} has unknown tables: {', '.join(lost)}")


def _fill(values: torch.Tensor, part: torch.nn.Module, name: str, pool: torch.Tensor) -> None:
    """Random values that keep activations near one: weights by their inputs, norms as if untrained."""
    if name == "bias":
        values.zero_()
    elif name == "gamma" or values.ndim == 1:  # norms
        values.fill_(1.0)
    else:
        inputs = values[0].numel() if not isinstance(part, torch.nn.Embedding) else 1
        for piece in _pieces(values, len(pool)):
            piece.copy_(pool[: len(piece)] / math.sqrt(inputs))


def _pieces(values: torch.Tensor, length: int) -> Iterator[torch.Tensor]:
    flat = values.view(-1)
    for start in range(0, len(flat), length):
        yield flat[start : start + length]


def _quantizer(kind: Quantization) -> Callable[[torch.nn.Module], object] | None:
    """What stores one linear layer in 8 or 4 bit, as soon as it has its weight; None for formats without torchao."""
    if kind not in (Quantization.INT8, Quantization.INT4):
        return None
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    config = Int8WeightOnlyConfig() if kind is Quantization.INT8 else Int4WeightOnlyConfig()
    return lambda layer: quantize_(layer, config)


def _load_error(error: Exception, model: Model) -> LoadError:
    if isinstance(error, LoadError):
        return error
    text = " ".join(str(error).split()) or type(error).__name__
    if is_out_of_memory(error):
        return LoadError(LoadFailureReason.OUT_OF_MEMORY, f"out of memory while making {model.id}: {text}")
    if isinstance(error, ImportError):
        return LoadError(LoadFailureReason.ENVIRONMENT, text)
    return LoadError(LoadFailureReason.INTERNAL, f"{type(error).__name__}: {text}")
