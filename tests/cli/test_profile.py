"""``wan-tui profile-architecture``: measured beside built in, and a data file that reads back the same."""

import copy
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from wan_tui.cli import profile
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.planning import activations


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the profiling process says: the built-in figures, to be changed by a test."""
    found = copy.deepcopy(dict(activations.stored()))
    monkeypatch.setattr(profile, "_profile", lambda components: found)
    return found


def test_the_file_it_writes_is_the_built_in_one(measured: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "activations.toml"
    assert profile.profile_architecture([], file, as_json=False) == 0
    assert tomllib.loads(file.read_text()) == measured
    assert file.read_text() == Path(activations.__file__).with_name("activations.toml").read_text()


def test_a_changed_figure_stands_beside_the_built_in_one(
    measured: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    before = measured["vae-2-1"]["fp32"]["decode"]["next"]["peaks"][0]["area"]
    measured["vae-2-1"]["fp32"]["decode"]["next"]["peaks"][0]["area"] = 2_000_000
    profile.profile_architecture([], None, as_json=False)
    (changed,) = [line for line in capsys.readouterr().out.splitlines()[2:] if not line.endswith("  same")]
    assert changed.split() == f"vae-2-1 fp32 decode, bytes a latent pixel 2,000,000 {before:,}".split()


def test_json_is_everything_that_was_measured(measured: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    profile.profile_architecture([], None, as_json=True)
    assert json.loads(capsys.readouterr().out) == measured


def test_an_unknown_model_and_a_broken_installation_are_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="t2v-A14B"):
        profile.profile_architecture(["t2v-A14C"], None, as_json=True)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WanTuiError, match="profiling failed: status 1"):
        profile.profile_architecture(["t2v-A14B"], None, as_json=True)


@pytest.mark.slow
def test_a_real_run(capsys: pytest.CaptureFixture[str]) -> None:
    profile.profile_architecture(["t2v-pocket"], None, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["made_with", "pocket-umt5", "pocket-transformer-t2v", "pocket-vae-2-1"]
    assert found["pocket-vae-2-1"] == activations.stored()["pocket-vae-2-1"]
