"""The way from nothing to files that load, in a few minutes: every script once, too short to draw anything."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import WanPipeline

from tests.pocket import assemble, autoencoder, latents, transformer
from wan_tui.core.catalog import load_catalogue
from wan_tui.worker import pocket

pytestmark = pytest.mark.slow


def falls(losses: list[float]) -> bool:
    part = max(1, len(losses) // 5)
    return sum(losses[-part:]) < 0.9 * sum(losses[:part])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    threads = torch.get_num_threads()
    assert falls(autoencoder.train("pocket-vae-2-1", folder, 90, 0))
    latents.write("pocket-vae-2-1", folder, 40, 1)
    assert falls(transformer.train("t2v", folder, 60, batch=16))
    for expert in ("t2v-high", "t2v-low", "i2v-high", "i2v-low"):
        assert len(transformer.train(expert, folder, 3, batch=8)) == 3
    torch.set_num_threads(threads)
    return folder


def test_what_was_trained_goes_on_where_it_stopped(trained: Path, tmp_path: Path) -> None:
    for file in trained.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    assert transformer.train("t2v", tmp_path, 60, batch=16) == [], "all steps are done"
    assert len(transformer.train("t2v", tmp_path, 62, batch=16)) == 2


def test_the_files_are_what_the_product_loads(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    components = tmp_path / "components.toml"
    shutil.copy(assemble.COMPONENTS, components)
    monkeypatch.setattr(assemble, "COMPONENTS", components)
    monkeypatch.setattr(pocket, "_PLACE", tmp_path / "weights")
    assemble.write(trained, ["t2v-pocket", "i2v-pocket"])
    folder = pocket.ensure_pocket(load_catalogue().find("t2v-pocket"), tmp_path / "cache")
    pipeline = WanPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline("a red circle", width=64, height=64, num_frames=9, num_inference_steps=2, output_type="np").frames
    assert frames.shape == (1, 9, 64, 64, 3)


def test_the_form_of_2_2_learns_too(tmp_path: Path) -> None:
    assert falls(autoencoder.train("pocket-vae-2-2", tmp_path, 40, 0))
