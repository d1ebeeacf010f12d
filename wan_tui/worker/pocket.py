"""The pocket models: real Wan classes, a few hundred kB of seeded random weights, an ordinary diffusers folder."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from wan_tui.core.catalog import Component, Model

# Grows when the same configuration would give other weights or files.
POCKET_REVISION = 1
ABANDONED_SECONDS = 3600.0

# Enough words for a prompt to matter; everything else is <unk>.
_WORDS = (
    *("a", "an", "the", "of", "on", "in", "with", "and", "is", "to", "slow", "fast", "big", "small"),
    *("red", "green", "blue", "yellow", "white", "black", "dark", "light", "background"),
    *("circle", "square", "triangle", "star", "ball", "box", "cat", "dog", "moving", "moves", "left", "right"),
    *("up", "down", "bouncing", "rotating", "spinning", "growing", "shrinking", "falling", "rising"),
)


def ensure_pocket(model: Model, cache_directory: Path) -> Path:
    """The folder of a pocket model, written on first use (about a second); safe against concurrent writers."""
    folder = cache_directory / "pocket" / f"{model.id}-{_fingerprint(model)}"
    if (folder / "model_index.json").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(model, folder.parent)
    scratch = Path(tempfile.mkdtemp(prefix=f".{model.id}-", dir=folder.parent))
    try:
        _build(model).save_pretrained(scratch)
        try:
            os.rename(scratch, folder)
        except OSError:
            if not (folder / "model_index.json").exists():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _clear_abandoned(model: Model, place: Path) -> None:
    """Remove what processes left that were killed while they wrote: nobody takes an hour for it."""
    for scratch in place.glob(f".{model.id}-*"):
        with contextlib.suppress(OSError):
            if time.time() - scratch.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(scratch)


def _fingerprint(model: Model) -> str:
    configs = {role: dict(component.config) for role, component in model.components}
    text = json.dumps([POCKET_REVISION, configs, model.boundary_ratio, model.flow_shift, _WORDS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _build(model: Model) -> WanPipeline | WanImageToVideoPipeline:
    parts = {
        "tokenizer": _tokenizer(),
        "text_encoder": _seeded(model, "text_encoder", model.text_encoder),
        "vae": _seeded(model, "vae", model.vae),
        "transformer": _seeded(model, "transformer", model.transformer),
        "transformer_2": _seeded(model, "transformer_2", model.transformer) if model.experts == 2 else None,
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


def _seeded(model: Model, role: str, component: Component) -> torch.nn.Module:
    """A component with the same random weights on every machine, in 16 bit as it goes to disk."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(f"{model.id}/{role}".encode()))
        match component.class_name:
            case "WanTransformer3DModel":
                module = WanTransformer3DModel(**component.config)
            case "AutoencoderKLWan":
                module = AutoencoderKLWan(**component.config)
            case "UMT5EncoderModel":
                module = UMT5EncoderModel(UMT5Config(**component.config))
            case other:
                raise ValueError(f"no constructor for component class {other}")
    return module.half().eval()


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(("<pad>", "</s>", "<unk>", *_WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
