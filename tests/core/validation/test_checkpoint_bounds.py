"""Garbage never raises, and checkpoints of the true size are judged from a few bytes."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.validation.checkpoint_parts import VAE, write_true_size
from wan_tui.core.catalog import load_catalogue
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
LENGTHS = st.none() | st.integers(0, 200)
JSON_FILES = st.sampled_from(["model_index.json", "vae/config.json", "text_encoder/config.json"])
JSON_KEYS = st.dictionaries(
    st.sampled_from(["_class_name", "boundary_ratio", "vae", "transformer_2", "z_dim", "latents_mean", "eps"]), VALUES
)
INDICES = st.fixed_dictionaries({"weight_map": st.dictionaries(st.text(max_size=8), VALUES, max_size=4) | VALUES})
MODEL = load_catalogue().find("t2v-pocket")


@pytest.fixture(scope="module")
def broken(good: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken") / "checkpoint"
    shutil.copytree(good["t2v-pocket"], folder)
    return folder


def judge(folder: Path, name: str, data: bytes) -> None:
    kept = (folder / name).read_bytes() if (folder / name).exists() else None
    (folder / name).write_bytes(data)
    files = sorted(folder.rglob("*"))
    started = time.process_time()
    try:
        findings = check_checkpoint(folder, MODEL)
        assert time.process_time() - started < 1, "no content may keep a check busy"
        assert sorted(folder.rglob("*")) == files
        for found in findings:
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
@given(data=st.binary(max_size=200), length=LENGTHS)
def test_any_bytes(broken: Path, data: bytes, length: int | None) -> None:
    judge(broken, VAE, data if length is None else length.to_bytes(8, "little") + data)
    judge(broken, "model_index.json", data)


@GARBAGE
@given(name=JSON_FILES, keys=JSON_KEYS)
def test_any_json(broken: Path, name: str, keys: dict[str, Any]) -> None:
    judge(broken, name, json.dumps({**json.loads((broken / name).read_text()), **keys}).encode())


@GARBAGE
@given(index=INDICES)
def test_any_index(broken: Path, index: dict[str, Any]) -> None:
    judge(broken, "vae/diffusion_pytorch_model.safetensors.index.json", json.dumps(index).encode())


def many_times(test: Any, **strategies: Any) -> Any:
    """The same property on so many inputs that it takes minutes."""
    inner = test.hypothesis.inner_test
    long = given(**strategies)(inner)
    return pytest.mark.slow(pytest.mark.timeout(1800)(settings(GARBAGE, max_examples=2600, derandomize=False)(long)))


test_very_many_headers = many_times(test_any_header, header=HEADERS, body=st.binary(max_size=64))
test_very_many_bytes = many_times(test_any_bytes, data=st.binary(max_size=200), length=LENGTHS)
test_very_many_objects = many_times(test_any_json, name=JSON_FILES, keys=JSON_KEYS)
test_very_many_indices = many_times(test_any_index, index=INDICES)


@pytest.fixture
def true_size(tmp_path: Path) -> Path:
    return write_true_size(tmp_path, load_catalogue().find("t2v-A14B"))


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_true_sizes_are_judged_from_headers(true_size: Path) -> None:
    total = sum(path.stat().st_size for path in true_size.rglob("*.safetensors"))
    assert total > 68_000_000_000
    before = bytes_read()
    assert check_checkpoint(true_size, load_catalogue().find("t2v-A14B")) == ()
    assert bytes_read() - before < 20_000_000
