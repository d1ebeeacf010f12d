"""The pocket models: real, small Wan classes, trained to draw what a prompt says, in an ordinary diffusers folder.

What they are and how they were made: ``weights/README.md``.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from diffusers import UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

from wan_tui.core.catalog import Component, Model
from wan_tui.worker.networks import network_of

ABANDONED_SECONDS = 3600.0

_PLACE = Path(__file__).parent / "weights"
# The file of every trained component; all read with one text encoder.
WEIGHTS: dict[str, dict[str, str]] = {
    "t2v-pocket": {
        "text_encoder": "text-encoder",
        "vae": "vae-2-1",
        "transformer": "t2v-high-noise",
        "transformer_2": "t2v-low-noise",
    },
    "i2v-pocket": {
        "text_encoder": "text-encoder",
        "vae": "vae-2-1",
        "transformer": "i2v-high-noise",
        "transformer_2": "i2v-low-noise",
    },
    "ti2v-pocket": {"text_encoder": "text-encoder", "vae": "vae-2-2", "transformer": "ti2v"},
}
# The words that the text encoders learned, in the order of their embeddings; everything else is <unk>.
WORDS = (
    *("a", "the", "of", "in", "with", "and", "is", "to", ",", ".", "red", "green", "blue", "yellow"),
    *("white", "circle", "ball", "disc", "square", "box", "triangle", "star", "moving", "left", "moves"),
    *("slides", "goes", "right", "up", "rising", "rises", "down", "falling", "falls", "bouncing"),
    *("bounces", "rotating", "rotates", "spinning", "spins", "turning", "growing", "grows", "getting"),
    *("bigger", "shrinking", "shrinks", "smaller", "on", "dark", "background", "against", "black"),
    *("light", "bright"),
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
    text = json.dumps([configs, model.boundary_ratio, model.flow_shift, WORDS], sort_keys=True)
    content = hashlib.sha256(text.encode())
    for name in WEIGHTS[model.id].values():
        content.update(weights_file(name).read_bytes())
    return content.hexdigest()[:12]


def weights_file(name: str) -> Path:
    return _PLACE / f"{name}.safetensors"


def _build(model: Model) -> WanPipeline | WanImageToVideoPipeline:
    parts = {
        "tokenizer": tokenizer(),
        "text_encoder": _trained(model, "text_encoder", model.text_encoder),
        "vae": _trained(model, "vae", model.vae),
        "transformer": _trained(model, "transformer", model.transformer),
        "transformer_2": _trained(model, "transformer_2", model.transformer) if model.experts == 2 else None,
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


def _trained(model: Model, role: str, component: Component) -> Any:
    """A component with its weights, in 16 bit as on disk."""
    module = network_of(component).half().eval()
    weights = load_file(weights_file(WEIGHTS[model.id][role]))
    if isinstance(module, UMT5EncoderModel):
        weights["encoder.embed_tokens.weight"] = weights["shared.weight"]  # one tensor under two names
    module.load_state_dict(weights)
    return module


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(("<pad>", "</s>", "<unk>", *WORDS))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
