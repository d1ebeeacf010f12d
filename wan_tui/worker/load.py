"""From a catalogue entry and a plan to a diffusers pipeline in memory."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanPipeline

from wan_tui.core.catalog import Model
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.runtime.protocol import Load
from wan_tui.core.words import LoadFailureReason, OffloadMode, Precision
from wan_tui.worker.failures import is_out_of_memory
from wan_tui.worker.pocket import ensure_pocket

_DTYPES = {Precision.FP32: torch.float32, Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}


class LoadError(Exception):
    """Loading failed for a reason that the operator can read."""

    def __init__(self, reason: LoadFailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A pipeline that is ready to run, and what it was made from."""

    model: Model
    plan: ExecutionPlan
    device: torch.device
    pipeline: Any


def load_pipeline(model: Model, command: Load, report: Callable[[str, float], None]) -> LoadedModel:
    """Load ``model`` as the plan says, telling ``report`` each stage. Raises LoadError."""
    device = _device(command.plan)
    try:
        if model.weights == "pocket":
            # Tiny tensors: a second thread costs more in hand-over than it computes.
            torch.set_num_threads(1)
            report("write pocket model", 0.0)
            source = str(ensure_pocket(model, Path(command.cache_directory)))
        else:
            source = command.checkpoint or model.repository
        pipeline = _from_pretrained(model, source, command.plan, report)
        report("place on device", 0.8)
        _place(pipeline, command.plan, device)
    except Exception as error:
        raise _load_error(error, model, command) from error
    return LoadedModel(model=model, plan=command.plan, device=device, pipeline=pipeline)


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


def _from_pretrained(model: Model, source: str, plan: ExecutionPlan, report: Callable[[str, float], None]) -> Any:
    report("vae", 0.1)
    offline = {"local_files_only": True}
    vae_dtype = _DTYPES[plan.vae_precision]
    vae = AutoencoderKLWan.from_pretrained(source, subfolder="vae", dtype=vae_dtype, **offline)
    report("text encoder and transformer", 0.2)
    pipeline_class = WanImageToVideoPipeline if model.task.needs_image else WanPipeline
    absent = {"image_encoder": None, "image_processor": None} if model.task.needs_image else {}
    return pipeline_class.from_pretrained(source, vae=vae, dtype=_DTYPES[plan.precision], **absent, **offline)


def _place(pipeline: Any, plan: ExecutionPlan, device: torch.device) -> None:
    pipeline.set_progress_bar_config(disable=True)
    if plan.vae_tiling:
        pipeline.vae.enable_tiling()
    if device.type == "cpu":
        return
    match plan.offload:
        case OffloadMode.NONE:
            pipeline.to(device)
        case OffloadMode.MODEL:
            pipeline.enable_model_cpu_offload(device=device)
        case OffloadMode.SEQUENTIAL:
            pipeline.enable_sequential_cpu_offload(device=device)


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
