"""Weight files under a live model: what changes them is a reason, and no crash without one."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.runs import MODEL, Ears
from tests.worker.test_prepare import DOWNLOADED, EXPERT, made
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.runtime.launcher import WorkerExit
from wan_tui.core.runtime.protocol import Event, Generate, JobFailed, JobFinished, Load
from wan_tui.core.words import JobFailureReason, Precision
from wan_tui.worker.generate import Generator
from wan_tui.worker.load import LoadedModel, load_pipeline
from wan_tui.worker.pocket import ensure_pocket


def load(folder: Path, precision: Precision) -> LoadedModel:
    plan = dataclasses.replace(cpu_plan(), precision=precision)
    command = Load(model=MODEL.id, plan=plan, checkpoint=str(folder), cache_directory=str(folder))
    return load_pipeline(DOWNLOADED, command, lambda stage, ratio: None)


def generate(loaded: LoadedModel, output: Path) -> Event:
    ears = Ears()
    request = GenerationRequest(
        deployment="a", prompt="a cat", width=64, height=64, frames=5, steps=2, guidance=4.0, seed=1
    )
    Generator(loaded, ears).run(Generate(job="1", request=request, output=str(output)))
    return ears.heard[-1]


@pytest.fixture
def prepared(pocket_cache: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "pocket"
    shutil.copytree(ensure_pocket(MODEL, pocket_cache), folder)
    return made(folder)


def rewrite(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(-8, os.SEEK_END)
        stream.write(bytes(8))


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 5000)


@pytest.mark.parametrize(("change", "words"), [(rewrite, "rewritten"), (truncate, "truncated from")])
def test_a_mapped_file_that_changes_fails_the_job_with_the_reason(
    prepared: Path, tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    loaded = load(prepared, Precision.BF16)
    assert isinstance(generate(loaded, tmp_path / "before.mp4"), JobFinished)
    change(prepared / EXPERT)
    failed = generate(loaded, tmp_path / "after.mp4")
    assert isinstance(failed, JobFailed)
    assert failed.reason is JobFailureReason.CHECKPOINT
    assert "checkpoint changed under the worker" in failed.message
    assert words in failed.message
    assert str(prepared / EXPERT) in failed.message
    assert "reload" in failed.message


def replace(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(bytes(100))
    os.replace(other, file)


@pytest.mark.parametrize("change", [replace, Path.unlink])
def test_a_file_that_was_replaced_or_deleted_harms_nothing(
    prepared: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    loaded = load(prepared, Precision.BF16)
    change(prepared / EXPERT)
    assert isinstance(generate(loaded, tmp_path / "after.mp4"), JobFinished)


def test_a_file_that_was_copied_into_memory_may_change(prepared: Path, tmp_path: Path) -> None:
    original = prepared.with_name("pocket")
    loaded = load(original, Precision.FP32)
    assert loaded.reading["transformer"] == "cast from F16"
    truncate(original / EXPERT)
    assert isinstance(generate(loaded, tmp_path / "after.mp4"), JobFinished)


def test_a_worker_that_reads_behind_the_end_of_a_truncated_file_dies_of_sigbus(tmp_path: Path) -> None:
    file = tmp_path / "mapped"
    file.write_bytes(bytes(1 << 16))
    script = f"import mmap, os; f = open({str(file)!r}, 'r+b'); m = mmap.mmap(f.fileno(), 0); f.truncate(0); m[40000]"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert run.returncode == -signal.SIGBUS
    said = WorkerExit(run.returncode, ("a line that means nothing",)).description
    assert said.startswith("worker was killed by SIGBUS: a checkpoint file was truncated while it was mapped")
