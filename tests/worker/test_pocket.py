"""The pocket models: real Wan pipelines, written once, the same on every machine."""

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from PIL import Image

from tests.pocket import world
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.worker.pocket import ABANDONED_SECONDS, WEIGHTS, WORDS, ensure_pocket, weights_file

CATALOGUE = load_catalogue()
POCKETS = [model for model in CATALOGUE.models if model.weights == "pocket"]


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = hashlib.sha256()
    for file in files:
        content.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return content.hexdigest()


@pytest.mark.parametrize("model", POCKETS, ids=lambda model: model.id)
def test_it_is_a_small_ordinary_diffusers_folder(model: Model, pocket_cache: Path) -> None:
    folder = ensure_pocket(model, pocket_cache)
    weights = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    assert 3_000_000 < weights < 9_000_000
    expected = {"model_index.json", "scheduler", "text_encoder", "tokenizer", "transformer", "vae"}
    expected |= {"transformer_2"} if model.experts == 2 else set()
    assert expected <= {path.name for path in folder.iterdir()}


def test_all_weights_of_the_package_take_at_most_16_mb() -> None:
    files = {weights_file(name) for parts in WEIGHTS.values() for name in parts.values()}
    assert files == set(weights_file("ti2v").parent.glob("*.safetensors")), "none is missing, none is left over"
    assert sum(file.stat().st_size for file in files) <= 16_000_000


def test_the_text_encoder_knows_every_word_of_the_world_that_it_was_trained_on() -> None:
    assert list(WORDS) == world.vocabulary()


def test_the_folders_are_the_same_wherever_they_are_made(tmp_path: Path) -> None:
    model = CATALOGUE.find("t2v-pocket")
    assert digest(ensure_pocket(model, tmp_path / "a")) == digest(ensure_pocket(model, tmp_path / "b"))


def test_what_a_killed_writer_left_is_removed_when_nobody_can_still_be_writing_it(tmp_path: Path) -> None:
    for name, age_seconds in (("killed", 2 * ABANDONED_SECONDS), ("writing", 10.0)):
        scratch = tmp_path / "pocket" / f".t2v-pocket-{name}"
        scratch.mkdir(parents=True)
        (scratch / "model_index.json").touch()
        os.utime(scratch, (time.time() - age_seconds,) * 2)
    folder = ensure_pocket(CATALOGUE.find("t2v-pocket"), tmp_path)
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, ".t2v-pocket-writing"}


def test_two_writers_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    model = CATALOGUE.find("t2v-pocket")
    found: list[Path] = []
    writers = [threading.Thread(target=lambda: found.append(ensure_pocket(model, tmp_path))) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(set(found)) == 1
    assert [path.name for path in (tmp_path / "pocket").iterdir()] == [found[0].name]
    WanPipeline.from_pretrained(found[0], dtype=torch.float32)


def load(model: Model, cache: Path) -> Any:
    if model.task.needs_image:
        parts: dict[str, Any] = {"image_encoder": None, "image_processor": None}
        return WanImageToVideoPipeline.from_pretrained(ensure_pocket(model, cache), dtype=torch.float32, **parts)
    return WanPipeline.from_pretrained(ensure_pocket(model, cache), dtype=torch.float32)


@pytest.mark.parametrize("model", POCKETS, ids=lambda model: model.id)
def test_it_generates_with_diffusers_alone(model: Model, pocket_cache: Path) -> None:
    pipeline = load(model, pocket_cache)
    pipeline.set_progress_bar_config(disable=True)
    image = {"image": Image.new("RGB", (64, 64), "red")} if model.task.needs_image else {}

    def frames(prompt: str, seed: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        size = {"width": 64, "height": 64, "num_frames": 9, "num_inference_steps": 2}
        result: np.ndarray = pipeline(prompt=prompt, generator=generator, output_type="np", **size, **image).frames[0]
        return result

    first = frames("a red circle", 1)
    assert first.shape == (9, 64, 64, 3)
    assert np.isfinite(first).all()
    assert first.std() > 0.001, "not a constant picture"
    assert np.array_equal(first, frames("a red circle", 1))
    assert not np.array_equal(first, frames("a red circle", 2)), "the seed matters"
    assert not np.array_equal(first, frames("a blue square", 1)), "the prompt matters"
