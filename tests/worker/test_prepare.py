"""Prepared checkpoints: the same model in another number format, written once, mapped ever after."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors import safe_open

from tests.core.validation.checkpoint_parts import into_hub_cache, shard
from tests.worker.runs import MODEL, latents
from wan_tui.core.catalog.models import Weights
from wan_tui.core.catalog.prepared import find_prepared, prepared_folder
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.runtime.protocol import Load
from wan_tui.core.validation.checkpoint import check_checkpoint
from wan_tui.core.validation.hashes import check_hashes
from wan_tui.core.words import Precision, Preparation, Quantization, Severity
from wan_tui.worker import rewriting
from wan_tui.worker.load import LoadedModel, load_pipeline
from wan_tui.worker.pocket import ensure_pocket
from wan_tui.worker.prepare import PrepareError, PrepareJob, prepare

EXPERT = "transformer/diffusion_pytorch_model.safetensors"
DOWNLOADED = dataclasses.replace(MODEL, weights=Weights.CHECKPOINT)


@pytest.fixture
def published(pocket_cache: Path, tmp_path: Path) -> Path:
    """A checkpoint as large ones are published: the first expert in shards."""
    folder = tmp_path / "models" / "t2v-pocket"
    shutil.copytree(ensure_pocket(MODEL, pocket_cache), folder)
    return folder


def made(source: Path, precision: str = "bf16", tell: Callable[[dict[str, Any]], None] | None = None) -> Path:
    output = prepared_folder(MODEL, source, source.parent, Preparation(precision))
    job = PrepareJob(model=MODEL.id, precision=precision, source=str(source), output=str(output))
    prepare(MODEL, job, tell or (lambda event: None))
    return output


def load(folder: Path, **plan: Any) -> LoadedModel:
    changed = dataclasses.replace(cpu_plan(), precision=Precision.BF16, vae_precision=Precision.FP16, **plan)
    command = Load(model=MODEL.id, plan=changed, checkpoint=str(folder), cache_directory=str(folder))
    return load_pipeline(DOWNLOADED, command, lambda stage, ratio: None)


@pytest.mark.parametrize("precision", list(Preparation))
def test_a_prepared_copy_is_a_valid_checkpoint_with_checksums(published: Path, precision: str) -> None:
    folder = made(published, precision)
    findings = [*check_checkpoint(folder, MODEL), *check_hashes(folder)]
    assert not [one for one in findings if one.severity is not Severity.INFO]
    assert not [one for one in findings if one.code == "WAN428"], "every weight file has a recorded SHA-256"
    assert not list(folder.parent.glob("*.part"))


@pytest.mark.parametrize(
    ("precision", "plan"), [("bf16", {}), ("fp8", {"quantization": Quantization.FP8})], ids=["bf16", "fp8"]
)
def test_it_computes_exactly_what_the_original_does_and_is_mapped(
    published: Path, precision: str, plan: dict[str, Any]
) -> None:
    shard(published)
    original, prepared = load(published, **plan), load(made(published, precision), **plan)
    assert original.reading["transformer"].startswith("cast")
    assert set(prepared.reading.values()) == {"mapped"}
    assert torch.equal(latents(prepared), latents(original))
    for role in ("transformer", "transformer_2", "text_encoder"):
        one, other = getattr(original.pipeline, role), getattr(prepared.pipeline, role)
        formats = [{name: weight.dtype for name, weight in part.named_parameters()} for part in (one, other)]
        assert formats[0] == formats[1], role


def test_what_diffusers_keeps_in_fp32_is_kept_and_the_vae_stays_as_published(published: Path) -> None:
    folder = made(published, "fp8")
    with safe_open(folder / EXPERT, "pt") as file:
        formats = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert formats["blocks.0.attn1.to_q.weight"] is torch.float8_e4m3fn
    assert formats["blocks.0.attn1.norm_q.weight"] is torch.bfloat16
    assert formats["blocks.0.norm2.weight"] is torch.float32
    assert formats["scale_shift_table"] is torch.float32
    assert sum(1 for dtype in formats.values() if dtype is torch.float32) > 4
    vae = "vae/diffusion_pytorch_model.safetensors"
    with safe_open(folder / vae, "pt") as copy, safe_open(published / vae, "pt") as original:
        assert all(
            torch.equal(copy.get_tensor(name), original.get_tensor(name))
            for name in original.keys()  # noqa: SIM118
        )


class _Stopped(Exception):
    pass


def test_an_interrupted_run_goes_on_where_it_stopped(published: Path) -> None:
    told: list[str] = []

    def stop_at_second_expert(event: dict[str, Any]) -> None:
        if "write transformer_2" in event["stage"]:
            raise _Stopped

    with pytest.raises(_Stopped):
        made(published, tell=stop_at_second_expert)
    part = published.parent / "t2v-pocket--bf16.part"
    before = (part / EXPERT).stat()
    assert not part.with_suffix("").exists(), "an unfinished copy has not its name yet"
    folder = made(published, tell=lambda event: told.append(event["stage"]))
    assert f"verify {EXPERT}" in told
    assert f"write {EXPERT}" not in told
    after = (folder / EXPERT).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_finished_file_that_was_damaged_or_has_another_source_is_written_again(published: Path) -> None:
    def stop_at_vae(event: dict[str, Any]) -> None:
        if "write vae" in event["stage"]:
            raise _Stopped

    with pytest.raises(_Stopped):
        made(published, tell=stop_at_vae)
    part = published.parent / "t2v-pocket--bf16.part"
    data = bytearray((part / EXPERT).read_bytes())
    data[-1] ^= 1
    (part / EXPERT).write_bytes(data)
    other = EXPERT.replace("transformer/", "transformer_2/")
    (published / other).touch()
    told: list[str] = []
    made(published, tell=lambda event: told.append(event["stage"]))
    assert f"write {EXPERT}" in told
    assert f"write {other}" in told
    assert "write text_encoder/model.safetensors" not in told


class _Disk(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Disk(10**12, 10**12, 1000))
    with pytest.raises(PrepareError, match=r"disk too small: .* are still to be written, 1000 B are free"):
        made(published)
    assert not list(published.parent.rglob("*--bf16*/**/*.safetensors"))


def test_a_faulty_checkpoint_is_refused(published: Path) -> None:
    data = (published / EXPERT).read_bytes()
    (published / EXPERT).write_bytes(data[:-100])
    with pytest.raises(PrepareError, match=f"WAN412 {EXPERT}"):
        made(published)


def test_bytes_that_are_not_the_published_ones_are_refused(published: Path) -> None:
    snapshot = into_hub_cache(published, published.parent / "hub")
    link = snapshot / EXPERT
    wrong = link.resolve().with_name("0" * 64)
    link.resolve().rename(wrong)
    link.unlink()
    link.symlink_to(Path("..", "..", "..", "blobs", wrong.name))
    with pytest.raises(PrepareError, match="is damaged: its SHA-256 begins with"):
        made(snapshot)


def test_what_exists_is_not_overwritten(published: Path) -> None:
    made(published)
    with pytest.raises(PrepareError, match="exists: remove it to prepare again"):
        made(published)


def test_memory_stays_within_a_piece_whatever_the_size(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(published, "bf16")
    monkeypatch.setattr(rewriting, "PIECE_BYTES", 64)
    shutil.move(whole, whole.with_name("whole"))
    assert (made(published, "bf16") / EXPERT).read_bytes() == (whole.with_name("whole") / EXPERT).read_bytes()


def test_a_copy_is_found_until_its_original_changes(published: Path) -> None:
    models = published.parent
    assert find_prepared(MODEL, published, models, [Preparation.BF16]) is None
    folder = made(published)
    assert find_prepared(MODEL, published, models, [Preparation.FP8, Preparation.BF16]) == folder
    record = json.loads((folder / "prepared.json").read_text())
    assert record["source"]["path"] == str(published)
    assert {"wan-tui", "torch", "diffusers", "transformers"} <= set(record["made_with"])
    (published / EXPERT).touch()
    assert find_prepared(MODEL, published, models, [Preparation.BF16]) is None


def test_an_unfinished_copy_is_not_found(published: Path) -> None:
    folder = made(published)
    (folder / "prepared.json").unlink()
    assert find_prepared(MODEL, published, published.parent, [Preparation.BF16]) is None
