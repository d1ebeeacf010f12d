"""Which model a folder or file is of."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.core.validation.checkpoint_parts import edit_json
from tests.core.validation.transformer_parts import (
    Arrays,
    arrays,
    bare_gguf,
    write_gguf,
    write_safetensors,
    write_true_size_gguf,
    write_true_size_safetensors,
)
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.original_names import PREFIX
from wan_tui.core.validation.recognise import guess_model

MODELS = load_catalogue().models
POCKETS = [model for model in MODELS if model.weights == "pocket"]
PUBLISHED = [model for model in MODELS if model.weights == "checkpoint"]


def guess(path: Path) -> str | None:
    found = guess_model(path, MODELS)
    return found.id if found else None


@pytest.mark.parametrize("model", [model.id for model in POCKETS])
def test_folders(good: dict[str, Path], model: str) -> None:
    assert guess(good[model]) == model


@pytest.mark.parametrize("found", MODELS, ids=lambda model: model.id)
def test_a_folder_needs_no_weights(tmp_path: Path, found: Model) -> None:
    index: dict[str, object] = {
        "_class_name": "WanImageToVideoPipeline" if found.task.needs_image else "WanPipeline",
        "transformer_2": ["diffusers", "WanTransformer3DModel"] if found.experts == 2 else [None, None],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(dict(found.transformer.config)))
    assert guess(tmp_path) == found.id
    # Wan 2.1 is the same network without the second expert.
    index["transformer_2"] = [None, None] if found.experts == 2 else ["diffusers", "WanTransformer3DModel"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert guess(tmp_path) is None


@pytest.mark.parametrize("found", POCKETS, ids=lambda model: model.id)
@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_files(tmp_path: Path, found: Model, prefix: str) -> None:
    original, known = arrays(found, prefix=prefix), arrays(found, original=False)
    assert guess(write_safetensors(tmp_path / "model.safetensors", original)) == found.id
    assert guess(write_safetensors(tmp_path / "model.safetensors", known)) == found.id
    assert guess(write_gguf(tmp_path / "model.gguf", original)) == found.id


@pytest.mark.parametrize("found", PUBLISHED, ids=lambda model: model.id)
def test_files_of_true_size(tmp_path: Path, found: Model) -> None:
    assert guess(write_true_size_safetensors(tmp_path / "model.safetensors", found)) == found.id
    assert guess(write_true_size_gguf(tmp_path / "model.gguf", found, gguf.GGMLQuantizationType.Q4_K)) == found.id


def add(*names: str) -> Callable[[Arrays], None]:
    return lambda tensors: tensors.update({name: np.zeros(1, np.float16) for name in names})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (add("scaled_fp8", "blocks.0.ffn.0.scale_weight"), "t2v-pocket"),
        (lambda tensors: tensors.pop("blocks.0.modulation"), "t2v-pocket"),
        (add("vace_patch_embedding.weight"), None),
        (add("img_emb.proj.0.weight"), None),
        (lambda tensors: tensors.pop("patch_embedding.weight"), None),
        (lambda tensors: tensors.update({"patch_embedding.weight": np.zeros((32, 20, 1, 2, 2), np.float16)}), None),
    ],
    ids=["8-bit", "damaged", "VACE", "image embeddings", "no beginning", "other channels"],
)
def test_relatives_are_not_taken_for_one(
    tmp_path: Path, change: Callable[[Arrays], object], expected: str | None
) -> None:
    tensors = arrays(load_catalogue().find("t2v-pocket"))
    change(tensors)
    assert guess(write_safetensors(tmp_path / "model.safetensors", tensors)) == expected


def test_nothing_is_guessed_from_nothing(good: dict[str, Path], tmp_path: Path) -> None:
    assert guess(tmp_path / "none") is None
    assert guess(tmp_path / "none.gguf") is None
    assert guess(tmp_path) is None
    (tmp_path / "model.gguf").write_bytes(bare_gguf())
    assert guess(tmp_path / "model.gguf") is None
    (tmp_path / "model.bin").write_bytes(b"")
    assert guess(tmp_path / "model.bin") is None
    shutil.copytree(good["t2v-pocket"], tmp_path / "other")
    edit_json("transformer/config.json", ffn_dim=128)(tmp_path / "other")
    assert guess(tmp_path / "other") is None
    edit_json("transformer/config.json", ffn_dim=[64])(tmp_path / "other")
    assert guess(tmp_path / "other") is None
