"""Garbage never raises, and checkpoints of the true size are judged from a few bytes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.validation.checkpoint_parts import VAE, write
from wan_tui.core.catalog import Component, load_catalogue
from wan_tui.core.catalog.tensors import ALIASES, expected_tensors
from wan_tui.core.validation.checkpoint import check_checkpoint

GARBAGE = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = st.integers() | st.integers(-1, 70) | st.floats() | st.sampled_from([2**63, 2**64, 10**400, -(10**400)])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F16", "F32", "F4", "U8", "?"]) | VALUES,
        "shape": st.lists(NUMBERS, max_size=4) | VALUES,
        "data_offsets": st.lists(NUMBERS, max_size=3) | VALUES,
    },
)
HEADERS = st.dictionaries(st.text(max_size=8) | st.just("quant_conv.bias"), ENTRIES | VALUES, max_size=4)
MODEL = load_catalogue().find("t2v-pocket")


@pytest.fixture(scope="module")
def broken(good: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken") / "checkpoint"
    shutil.copytree(good["t2v-pocket"], folder)
    return folder


def judge(folder: Path, name: str, data: bytes) -> None:
    kept = (folder / name).read_bytes() if (folder / name).exists() else None
    (folder / name).write_bytes(data)
    try:
        for found in check_checkpoint(folder, MODEL):
            f"{found.where} {found.message}".encode()
            assert len(found.message) < 1000
    finally:
        if kept is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(kept)


@GARBAGE
@given(header=HEADERS, body=st.binary(max_size=64))
def test_any_header(broken: Path, header: dict[str, Any], body: bytes) -> None:
    text = json.dumps(header).encode()
    judge(broken, VAE, len(text).to_bytes(8, "little") + text + body)


@GARBAGE
@given(data=st.binary(max_size=200), length=st.none() | st.integers(0, 200))
def test_any_bytes(broken: Path, data: bytes, length: int | None) -> None:
    judge(broken, VAE, data if length is None else length.to_bytes(8, "little") + data)
    judge(broken, "model_index.json", data)


@GARBAGE
@given(
    name=st.sampled_from(["model_index.json", "vae/config.json", "text_encoder/config.json"]),
    keys=st.dictionaries(
        st.sampled_from(["_class_name", "boundary_ratio", "vae", "transformer_2", "z_dim", "latents_mean", "eps"]),
        VALUES,
    ),
)
def test_any_json(broken: Path, name: str, keys: dict[str, Any]) -> None:
    judge(broken, name, json.dumps({**json.loads((broken / name).read_text()), **keys}).encode())


@GARBAGE
@given(index=st.fixed_dictionaries({"weight_map": st.dictionaries(st.text(max_size=8), VALUES, max_size=4) | VALUES}))
def test_any_index(broken: Path, index: dict[str, Any]) -> None:
    judge(broken, "vae/diffusion_pytorch_model.safetensors.index.json", json.dumps(index).encode())


@pytest.fixture
def true_size(tmp_path: Path) -> Path:
    """t2v-A14B in bf16 at its true size, of which only headers and a few bytes take space."""
    model = load_catalogue().find("t2v-A14B")
    entries: dict[str, object] = {
        "_class_name": "WanPipeline",
        "boundary_ratio": model.boundary_ratio,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
    }
    for role, component in model.components:
        library = "transformers" if role == "text_encoder" else "diffusers"
        entries[role] = [library, component.class_name]
        (tmp_path / role).mkdir()
        (tmp_path / role / "config.json").write_text(json.dumps(dict(component.config)))
        write_sparse(tmp_path / role, component, mark=role.encode())
    for role, name in (("scheduler", "scheduler_config.json"), ("tokenizer", "tokenizer_config.json")):
        (tmp_path / role).mkdir()
        (tmp_path / role / name).write_text("{}")
    (tmp_path / "model_index.json").write_text(json.dumps(entries))
    return tmp_path


def write_sparse(folder: Path, component: Component, mark: bytes) -> None:
    aliases = ALIASES.get(component.class_name, {})
    base = "model" if component.class_name == "UMT5EncoderModel" else "diffusion_pytorch_model"
    shards: list[dict[str, Any]] = [{}]
    reached = 0
    for name, shape in expected_tensors(component).items():
        size = 2
        for extent in shape:
            size *= extent
        if name in aliases:
            continue
        if reached + size > 5_000_000_000:
            shards.append({})
            reached = 0
        shards[-1][name] = {"dtype": "BF16", "shape": shape, "data_offsets": [reached, reached + size]}
        reached += size
    mapping = {}
    for number, header in enumerate(shards, 1):
        path = folder / f"{base}-{number:05}-of-{len(shards):05}.safetensors"
        write(path, header, mark)
        start = path.stat().st_size - len(mark)
        with path.open("r+b") as file:
            file.truncate(start + max(entry["data_offsets"][1] for entry in header.values()))
        mapping |= dict.fromkeys(header, path.name)
    if len(shards) > 1:
        (folder / f"{base}.safetensors.index.json").write_text(json.dumps({"weight_map": mapping}))
    else:
        path.rename(folder / f"{base}.safetensors")


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_true_sizes_are_judged_from_headers(true_size: Path) -> None:
    total = sum(path.stat().st_size for path in true_size.rglob("*.safetensors"))
    assert total > 68_000_000_000
    before = bytes_read()
    assert check_checkpoint(true_size, load_catalogue().find("t2v-A14B")) == ()
    assert bytes_read() - before < 20_000_000
