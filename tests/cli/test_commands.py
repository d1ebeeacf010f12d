"""status, models: what they print and how they end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import simnvml
from tests.cli.harness import wan_tui
from tests.simnvml import Scenario, SimGpu
from wan_tui.core.snapshot import Snapshot


def test_models_lists_the_catalogue() -> None:
    text = wan_tui("models")
    assert text.returncode == 0
    assert "t2v-A14B" in text.stdout
    assert "117.5 GiB" in text.stdout
    facts = json.loads(wan_tui("models", "--json").stdout)
    assert {fact["id"] for fact in facts} >= {"t2v-A14B", "i2v-A14B", "ti2v-5B", "t2v-pocket"}
    assert facts[0]["components"]["transformer"]["parameters"] == 14288491584


def test_status_json_is_the_snapshot(home: Path) -> None:
    run = wan_tui("status", "--json")
    assert run.returncode == 0, run.stderr
    snapshot = Snapshot.from_json(run.stdout)
    assert [status.name for status in snapshot.deployments] == ["t2v-A14B", "i2v-A14B", "ti2v-5B", "pocket"]
    assert snapshot.host.memory_total_bytes > 0


def test_without_a_terminal_the_plain_status_is_printed() -> None:
    run = wan_tui()
    assert run.returncode == 0
    assert "terminal" in run.stderr
    assert "DEPLOYMENT" in run.stdout
    assert "\033" not in run.stdout


@pytest.mark.skipif(simnvml.compiler() is None, reason="no C compiler for the simulated driver")
def test_eight_simulated_gpus_through_the_whole_stack(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    library = simnvml.build(tmp_path_factory.mktemp("simnvml"))
    scenario = Scenario(gpus=[SimGpu(name="NVIDIA H100 80GB HBM3") for _ in range(8)])
    scenario.gpus[7].lost = True
    scenario.write(home / "scenario")
    run = subprocess.run(
        [sys.executable, "-m", "wan_tui", "status", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **simnvml.environment(library, home / "scenario")},
    )
    assert run.returncode == 0, run.stderr
    snapshot = Snapshot.from_json(run.stdout)
    assert [gpu.up for gpu in snapshot.gpus] == [True] * 7 + [False]
    status = snapshot.deployment("t2v-A14B")
    assert status is not None
    assert status.compatibility.plan is not None
    assert status.compatibility.plan.device.startswith("gpu:")


def test_the_version_and_the_help() -> None:
    assert wan_tui("--version").stdout.startswith("wan-tui ")
    text = wan_tui("--help").stdout
    for command in ("status", "models", "validate", "generate", "selftest"):
        assert command in text
