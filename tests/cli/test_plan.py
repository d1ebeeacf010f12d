"""``wan-tui plan``: answers about this host and about cards that nobody has here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import simnvml
from tests.cli.harness import config, wan_tui
from tests.simnvml import Scenario, SimGpu

GIB = 1 << 30


def answers(*arguments: str) -> list[dict[str, object]]:
    run = wan_tui("plan", *arguments, "--json")
    assert run.stderr == ""
    found: list[dict[str, object]] = json.loads(run.stdout)
    return found


def test_will_it_run_on_a_3080() -> None:
    run = wan_tui("plan", "t2v-A14B", "--gpu", "rtx 3080 10gb", "--explain")
    assert run.returncode == 0
    assert run.stdout.startswith("t2v-A14B on NVIDIA GeForce RTX 3080 10 GiB: offload_required")
    for word in ("denoise_high_noise", "denoise_low_noise", "vae_decode", "EXPECTED  LOW", "SLACK", "host memory:"):
        assert word in run.stdout
    assert "(peak)" in run.stdout


def test_the_size_of_the_card_decides_and_can_be_given() -> None:
    (small,) = answers("ti2v-5B", "--gpu", "rtx 4090", "--vram", "8")
    (large,) = answers("ti2v-5B", "--gpu", "rtx 4090", "--vram", "96")
    assert small["gpu"]["memory_bytes"] == 8 * GIB  # type: ignore[index]
    assert small["verdict"] == "offload_required"
    assert large["verdict"] == "fits"
    assert large["memory"]["peak_bytes"] > small["memory"]["peak_bytes"]  # type: ignore[index]


def test_more_work_takes_longer_and_no_guidance_half_as_long() -> None:
    def total(*more: str) -> float:
        (answer,) = answers("t2v-A14B", "--gpu", "h100 80gb hbm3", *more)
        seconds: float = answer["time"]["stages"]["denoise_low_noise"]["expected"]  # type: ignore[index]
        return seconds

    base = total()
    assert total("--frames", "41") < base < total("--width", "1280", "--height", "720")
    assert total("--guidance", "1") == pytest.approx(base / 2, rel=0.01)
    assert total("--steps", "20") == pytest.approx(base / 2, rel=0.1)


def test_what_cannot_run_ends_with_1_and_says_what_would() -> None:
    run = wan_tui("plan", "t2v-A14B", "--gpu", "rtx 4090", "--offload", "none", "--precision", "bf16")
    assert run.returncode == 1
    assert "incompatible" in run.stdout
    assert "what would make it fit:" in run.stdout
    assert "profile " in run.stdout
    little = wan_tui("plan", "t2v-A14B", "--gpu", "rtx 4080", "--host-memory", "8")
    assert little.returncode == 1
    assert "host memory" in little.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["t2v-A15B"], "t2v-A14B"),
        (["--gpu", "rtx 3060"], "ambiguous"),
        (["--gpu", "rtx 9999"], "unknown GPU"),
        (["--gpu", "0"], "not in this host"),
        (["--gpu", "gpu:7"], "not in this host"),
        (["--profile", "lowvram"], "low-vram"),
        (["--precision", "fp9"], "fp8"),
        (["--offload", "blocks"], "unknown offload"),
        (["--gpu", "rtx 4090", "--vram", "0"], "--vram 0"),
        (["--gpu", "rtx 4090", "--vram", "nan"], "--vram nan"),
    ],
)
def test_a_wrong_word_is_one_line_that_names_it(home: Path, arguments: list[str], says: str) -> None:
    run = wan_tui("plan", *arguments)
    assert run.returncode == 2
    assert says in run.stderr
    assert run.stderr.count("\n") == 1


def test_the_matrix_has_every_model_profile_and_card() -> None:
    rows = answers("t2v-A14B", "ti2v-5B", "--all", "--gpu", "rtx 4080", "--gpu", "a100-sxm4-80gb")
    assert len(rows) == 2 * 2 * 7
    fits = {(row["model"], row["profile"], row["where"]): row["verdict"] for row in rows}
    assert fits["t2v-A14B", "resident-bf16", "NVIDIA A100-SXM4-80GB 80 GiB"] == "fits"
    assert fits["t2v-A14B", "resident-bf16", "NVIDIA GeForce RTX 4080 16 GiB"] == "incompatible"
    text = wan_tui("plan", "ti2v-5B", "--all", "--profile", "low-vram").stdout
    assert len(text.splitlines()) == 1 + 7


def test_the_declared_figures_are_held_against_the_planner() -> None:
    text = wan_tui("plan", "--declared").stdout
    assert "t2v-A14B: 38.2 s at 17 frames: does not hold" in text
    assert "at least 173 s in 16 bit and 87 s in fp8" in text
    assert len(json.loads(wan_tui("plan", "--declared", "--json").stdout)) == 12


def test_a_profile_of_ones_own(home: Path) -> None:
    file = config(home, '[profiles.tiny]\noffloads = ["sequential"]\nvae_tiling = true\nquantizations = ["none"]\n')
    run = wan_tui("--config", file, "plan", "ti2v-5B", "--gpu", "rtx 4090", "--profile", "tiny", "--json")
    (answer,) = json.loads(run.stdout)
    assert answer["plan"]["offload"] == "sequential"
    bad = config(home, '[profiles.tiny]\noffloads = ["sideways"]\n')
    refused = wan_tui("--config", bad, "plan")
    assert refused.returncode == 2
    assert "profiles.tiny.offloads" in refused.stderr
    unknown = config(home, '[deployments.a]\nmodel = "ti2v-5B"\nprofile = "lowvram"\n')
    refused = wan_tui("--config", unknown, "status")
    assert refused.returncode == 2
    assert "low-vram" in refused.stderr


@pytest.mark.skipif(simnvml.compiler() is None, reason="no C compiler for the simulated driver")
def test_on_a_host_with_gpus_they_are_what_is_planned_for(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    library = simnvml.build(tmp_path_factory.mktemp("simnvml"))
    gpus = [SimGpu(name="NVIDIA GeForce RTX 4090"), SimGpu(name="An Unheard-of Card", memory_total_bytes=48 * GIB)]
    Scenario(gpus=gpus).write(home / "scenario")

    def plan(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "wan_tui", "plan", "ti2v-5B", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **simnvml.environment(library, home / "scenario")},
        ).stdout

    assert "gpu:0 (NVIDIA GeForce RTX 4090" in plan("--gpu", "0")
    unheard = plan("--gpu", "1")
    assert "An Unheard-of Card" in unheard
    assert "not in the table: bounded by" in unheard
