"""From a catalogue entry and a plan to a diffusers pipeline in memory."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline

from wan_tui.core.catalog import Model
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.runtime.protocol import Load
from wan_tui.core.words import AttentionBackend, LoadFailureReason, OffloadMode
from wan_tui.worker.compiling import compile_blocks
from wan_tui.worker.failures import LoadError as LoadError
from wan_tui.worker.failures import is_out_of_memory
from wan_tui.worker.pocket import ensure_pocket
from wan_tui.worker.reading import Source, describe, read_component
from wan_tui.worker.step_caches import StepCaches
from wan_tui.worker.watched import WatchedFiles

_BACKENDS = {
    AttentionBackend.FLASH: "flash",
    AttentionBackend.XFORMERS: "xformers",
    AttentionBackend.SAGE: "sage",
}
Report = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A pipeline that is ready to run, and what it was made from; ``reading`` says how each component was read."""

    model: Model
    plan: ExecutionPlan
    device: torch.device
    pipeline: Any
    files: WatchedFiles = field(default_factory=WatchedFiles)
    reading: Mapping[str, str] = field(default_factory=dict)
    caches: StepCaches = field(default_factory=StepCaches)

    @property
    def text_device(self) -> torch.device:
        """Where prompts are encoded."""
        return torch.device("cpu") if self.plan.text_encoder_on_cpu else self.device

    def without_text_encoder(self) -> contextlib.AbstractContextManager[None]:
        """While it is left, the text encoder has no say in where the pipeline computes."""
        return _text_encoder_left_out(self.pipeline, self.plan)


def load_pipeline(model: Model, command: Load, report: Report) -> LoadedModel:
    """Load ``model`` as the plan says, telling ``report`` each stage. Raises LoadError."""
    device = _device(command.plan)
    try:
        if model.weights == "pocket":
            # Tiny tensors: a second thread costs more in hand-over than it computes.
            torch.set_num_threads(1)
        if model.weights == "pocket" and command.checkpoint is None:
            report("write pocket model", 0.0)
            place_read = str(ensure_pocket(model, Path(command.cache_directory)))
        else:
            place_read = command.checkpoint or model.repository
        source = Source.of(command, place_read)
        reading: dict[str, str] = {}
        # Looked at before they are read: a change while they are read is one too.
        files = WatchedFiles(file for role, _ in model.components for file in source.weights(role))
        pipeline = _build(model, source, command.plan, device, report, reading)
        report("place on device", 0.8)
        place(pipeline, command.plan, device)
    except Exception as error:
        raise _load_error(error, model, command) from error
    caches = StepCaches(command.plan.cache, _ratios_file(command))
    return LoadedModel(
        model=model,
        plan=command.plan,
        device=device,
        pipeline=pipeline,
        files=files,
        reading=reading,
        caches=caches,
    )


def _ratios_file(command: Load) -> Path:
    """Where what MagCache measured of these weights is kept: another checkpoint, file or LoRA has other ratios."""
    weights = (command.checkpoint, command.transformer, command.transformer_2, command.loras)
    name = hashlib.sha256(repr(weights).encode()).hexdigest()[:12]
    return Path(command.cache_directory, "mag", f"{command.model}-{name}.json")


def _device(plan: ExecutionPlan) -> torch.device:
    if plan.device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise LoadError(
            LoadFailureReason.ENVIRONMENT,
            f"torch {torch.__version__} has no usable CUDA for {plan.device}; "
            "install a CUDA build of torch that fits the driver, or use profile = 'cpu'",
        )
    # The launcher shows this process one GPU (CUDA_VISIBLE_DEVICES), so its ordinal is always 0.
    return torch.device("cuda", 0)


def _build(
    model: Model, source: Source, plan: ExecutionPlan, device: torch.device, report: Report, reading: dict[str, str]
) -> Any:
    """The pipeline, read one component after the other: the host never holds two that go to the device."""
    components: dict[str, Any] = {}
    for number, (role, component) in enumerate(model.components):
        how = reading[role] = describe(role, component, source, plan)
        report(f"read {role}" + (f" ({how})" if how else ""), number / (len(model.components) + 1))
        components[role] = read_component(role, component, source, plan)
        if plan.offload is OffloadMode.NONE and not (role == "text_encoder" and plan.text_encoder_on_cpu):
            components[role].to(device)
    if model.experts == 1:
        components["transformer_2"] = None
    if model.task.needs_image:
        components |= {"image_encoder": None, "image_processor": None}
    pipeline_class = WanImageToVideoPipeline if model.task.needs_image else WanPipeline
    return pipeline_class.from_pretrained(source.place, local_files_only=True, **components)


def place(pipeline: Any, plan: ExecutionPlan, device: torch.device) -> None:
    """Put the components where the plan wants them, and switch on what it says about the VAE, attention and compiling.

    A step cache is switched on run by run (``step_caches``): how it is set depends on the number of steps.
    """
    pipeline.set_progress_bar_config(disable=True)
    if plan.vae_tiling:
        pipeline.vae.enable_tiling()
    if plan.vae_slicing:
        pipeline.vae.enable_slicing()
    experts = [expert for expert in (pipeline.transformer, pipeline.transformer_2) if expert is not None]
    if plan.attention is not AttentionBackend.SDPA:
        _set_attention(experts, plan.attention)
    with _text_encoder_left_out(pipeline, plan):
        match plan.offload:
            case OffloadMode.MODEL if device.type != "cpu":
                pipeline.enable_model_cpu_offload(device=device)
            case OffloadMode.SEQUENTIAL if device.type != "cpu":
                pipeline.enable_sequential_cpu_offload(device=device)
            case OffloadMode.GROUP_BLOCK | OffloadMode.GROUP_LEAF:
                _group_offload(pipeline, experts, plan, device)
            case _:
                pass
    if plan.compile:
        # Last of all: what is compiled is the block with every hook on it.
        compile_blocks(experts)


def _set_attention(experts: list[Any], backend: AttentionBackend) -> None:
    try:
        for expert in experts:
            expert.set_attention_backend(_BACKENDS[backend])
    except (ImportError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())[:300]
        raise LoadError(
            LoadFailureReason.ENVIRONMENT, f'{backend} attention cannot be used: {text}; use attention = "sdpa"'
        ) from error


@contextlib.contextmanager
def _text_encoder_left_out(pipeline: Any, plan: ExecutionPlan) -> Iterator[None]:
    """A text encoder that computes on the host gets no hooks, and does not decide where the pipeline runs."""
    encoder = pipeline.text_encoder
    if plan.text_encoder_on_cpu:
        pipeline.text_encoder = None
    try:
        yield
    finally:
        pipeline.text_encoder = encoder


def _group_offload(pipeline: Any, experts: list[Any], plan: ExecutionPlan, device: torch.device) -> None:
    """Transformers and text encoder come in groups; the VAE is small and stays."""
    by_block = plan.offload is OffloadMode.GROUP_BLOCK
    streams = plan.offload_stream and device.type == "cuda"
    for module in (*experts, pipeline.text_encoder):
        if module is not None:
            diffusers.hooks.apply_group_offloading(
                module,
                onload_device=device,
                offload_device=torch.device("cpu"),
                offload_type="block_level" if by_block else "leaf_level",
                num_blocks_per_group=1 if by_block else None,
                use_stream=streams,
            )
    pipeline.vae.to(device)


def _load_error(error: Exception, model: Model, command: Load) -> LoadError:
    if isinstance(error, LoadError):
        return error
    text = " ".join(str(error).split()) or type(error).__name__
    if is_out_of_memory(error):
        return LoadError(LoadFailureReason.OUT_OF_MEMORY, f"out of memory while loading {model.id}: {text}")
    if isinstance(error, ImportError):
        return LoadError(LoadFailureReason.ENVIRONMENT, text)
    if isinstance(error, OSError | ValueError | KeyError) and model.weights == "checkpoint":
        place = command.checkpoint or f"the hub cache ({os.environ.get('HF_HOME', '~/.cache/huggingface')})"
        fix = f"download it with: hf download {model.repository}"
        return LoadError(
            LoadFailureReason.CHECKPOINT, f"no usable checkpoint of {model.id} in {place}: {text[:300]}; {fix}"
        )
    return LoadError(LoadFailureReason.INTERNAL, f"{type(error).__name__}: {text}")
