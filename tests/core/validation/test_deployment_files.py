"""GGUF files in the place of a checkpoint's transformers: what they are stored as, what is judged, what is planned."""

import shutil
from pathlib import Path

import gguf as ggml
import pytest

from tests.core.planning.parts import gpu, hardware, host
from tests.core.validation.transformer_parts import (
    Q8,
    arrays,
    matrices,
    write_gguf,
    write_safetensors,
    write_true_size_gguf,
)
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.hardware.samples import DriverStatus, HardwareSample
from wan_tui.core.planning.assess import assess
from wan_tui.core.validation.subjects import judge_checkpoint
from wan_tui.core.validation.transformer_file import files_quantization, stored_quantization
from wan_tui.core.words import Quantization, Verdict
from wan_tui.worker.pocket import ensure_pocket

MODEL = load_catalogue().find("t2v-pocket")
A14B = load_catalogue().find("t2v-A14B")
TYPES = ggml.GGMLQuantizationType


@pytest.mark.parametrize(
    ("kind", "quantization"),
    [
        (TYPES.Q8_0, Quantization.Q8_0),
        (TYPES.Q6_K, Quantization.Q6_K),
        (TYPES.Q5_K, Quantization.Q5_K_M),
        (TYPES.Q4_K, Quantization.Q4_K_M),
        (TYPES.Q4_0, Quantization.Q4_K_M),
        (TYPES.Q3_K, Quantization.Q3_K_M),
        (TYPES.Q2_K, Quantization.Q2_K),
        (TYPES.BF16, Quantization.NONE),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_most_frequent_type_of_a_file_is_its_quantization(
    tmp_path: Path, kind: TYPES, quantization: Quantization
) -> None:
    assert stored_quantization(write_true_size_gguf(tmp_path / "a.gguf", A14B, kind)) is quantization


def test_of_two_files_the_one_that_needs_more_memory_counts(tmp_path: Path) -> None:
    high = write_true_size_gguf(tmp_path / "high.gguf", A14B, TYPES.Q4_K)
    low = write_true_size_gguf(tmp_path / "low.gguf", A14B, TYPES.Q8_0)
    assert files_quantization({"transformer": high, "transformer_2": low}) is Quantization.Q8_0
    assert files_quantization({"transformer": None, "transformer_2": None}) is None
    plain = write_safetensors(tmp_path / "a.safetensors", arrays(MODEL))
    assert files_quantization({"transformer": plain, "transformer_2": tmp_path / "missing.gguf"}) is None


def test_plans_take_what_the_files_are_whatever_the_profile_says() -> None:
    none = HardwareSample(DriverStatus(present=False, up=False, message="no driver"))
    wanted = DeploymentSettings(model=MODEL.id, profile="cpu")
    found = assess(MODEL, wanted, none, host(32), fixed=Quantization.Q8_0)
    assert found.verdict is Verdict.FITS
    assert found.plan is not None
    assert found.plan.quantization is Quantization.Q8_0


@pytest.fixture
def checkpoint(pocket_cache: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    shutil.copytree(ensure_pocket(MODEL, pocket_cache), folder)
    return folder


def test_what_the_files_replace_need_not_be_there(checkpoint: Path, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf", arrays(MODEL), matrices(Q8))
    wanted = DeploymentSettings(model=MODEL.id, transformer=file, transformer_2=file)
    for role in ("transformer", "transformer_2"):
        shutil.rmtree(checkpoint / role)
    assert judge_checkpoint(MODEL, checkpoint, wanted).valid
    assert not judge_checkpoint(MODEL, checkpoint).valid


def test_findings_of_a_file_name_the_expert(checkpoint: Path, tmp_path: Path) -> None:
    good = write_gguf(tmp_path / "good.gguf", arrays(MODEL), matrices(Q8))
    bad = write_gguf(tmp_path / "bad.gguf", dict(list(arrays(MODEL).items())[:-1]), matrices(Q8))
    wanted = DeploymentSettings(model=MODEL.id, transformer=good, transformer_2=bad)
    found = judge_checkpoint(MODEL, checkpoint, wanted)
    assert {(one.code, one.where) for one in found.findings} == {("WAN416", "transformer_2 bad.gguf")}
    assert "WAN426" in found.skipped


@pytest.mark.parametrize("profile", ["auto", "resident-bf16"])
def test_on_a_gpu_too_the_file_decides(profile: str) -> None:
    wanted = DeploymentSettings(model=A14B.id, profile=profile)
    found = assess(A14B, wanted, hardware(gpu(48)), host(128), fixed=Quantization.Q4_K_M)
    assert found.plan is not None, found.reason
    assert found.plan.quantization is Quantization.Q4_K_M
