"""``wan-tui prepare``: the process, what it says, and that deployments load from what it wrote."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.harness import wan_tui
from wan_tui.core.catalog import load_catalogue
from wan_tui.worker.pocket import ensure_pocket


@pytest.fixture
def checkpoint(pocket_cache: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "pocket"
    shutil.copytree(ensure_pocket(load_catalogue().find("t2v-pocket"), pocket_cache), folder)
    return folder


def test_a_copy_is_written_beside_the_checkpoint_and_only_once(checkpoint: Path) -> None:
    command = ("prepare", "t2v-pocket", "--source", str(checkpoint), "--json")
    first = wan_tui(*command)
    assert first.returncode == 0, first.stderr
    facts = json.loads(first.stdout)
    folder = checkpoint.with_name("pocket--bf16")
    assert facts["path"] == str(folder)
    assert facts["made"]
    assert "write transformer/diffusion_pytorch_model.safetensors" in first.stderr
    again = wan_tui(*command)
    assert again.returncode == 0
    assert not json.loads(again.stdout)["made"]


def test_a_copy_of_what_has_changed_since_is_not_taken_for_one(checkpoint: Path) -> None:
    command = ("prepare", "t2v-pocket", "--source", str(checkpoint))
    assert wan_tui(*command).returncode == 0
    (checkpoint / "vae" / "diffusion_pytorch_model.safetensors").touch()
    again = wan_tui(*command)
    assert again.returncode == 1
    assert "remove it to prepare again" in again.stderr


def test_a_damaged_checkpoint_is_refused_in_one_line(checkpoint: Path) -> None:
    path = checkpoint / "transformer" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    refused = wan_tui("prepare", "t2v-pocket", "--source", str(checkpoint))
    assert refused.returncode == 1
    assert "not prepared" in refused.stderr
    assert "WAN412" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("t2v-pocket",), "built in and small"),
        (("ti2v-5B",), "wan-tui download ti2v-5B"),
        (("ti2v-5B", "--precision", "int8"), "made while loading"),
        (("ti2v-5B", "--precision", "bf61"), "bf16"),
    ],
)
def test_what_cannot_be_prepared_says_why(arguments: tuple[str, ...], words: str) -> None:
    refused = wan_tui("prepare", *arguments)
    assert refused.returncode != 0
    assert words in refused.stderr
