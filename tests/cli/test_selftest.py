"""wan-tui selftest: a prompt in, a judged video out; it notices when the pocket model has not learned anything."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.harness import wan_tui
from wan_tui.core.catalog import load_catalogue
from wan_tui.worker.pocket import ensure_pocket


def checks(returncode: int) -> dict[str, Any]:
    run = wan_tui("selftest", "--json")
    assert run.returncode == returncode, run.stdout + run.stderr
    return {check["name"]: check for check in json.loads(run.stdout)["checks"]}


def test_the_clip_shows_what_was_asked_for() -> None:
    found = checks(0)
    assert all(check["passed"] for check in found.values())
    assert "seen: shape circle, colour red, motion right, background dark" in found["picture"]["found"]


def test_random_weights_are_noticed(home: Path, pocket_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = home / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    trained = ensure_pocket(load_catalogue().find("t2v-pocket"), pocket_cache)
    folder = cache / "wan-tui" / trained.relative_to(pocket_cache)
    shutil.copytree(trained, folder)
    for file in folder.glob("transformer*/*.safetensors"):
        noise = torch.Generator().manual_seed(0)
        weights = {name: 0.05 * torch.randn(one.shape, generator=noise) for name, one in load_file(file).items()}
        save_file({name: one.half() for name, one in weights.items()}, file, {"format": "pt"})
    found = checks(1)
    assert [name for name, check in found.items() if not check["passed"]] == ["picture"]
