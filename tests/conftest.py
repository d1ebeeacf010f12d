"""Every test runs with directories of its own and without the settings of whoever runs it."""

import os
from pathlib import Path

import pytest

# Tiny models on a shared machine: a second OpenMP thread costs more than it computes.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["no_proxy"] = "*"


@pytest.fixture(scope="session")
def pocket_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache directory for the whole run: pocket models are written once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, pocket_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOME, and no variable that would lead out of it."""
    home = tmp_path_factory.mktemp("home")
    ours = [name for name in os.environ if name.startswith("WANTUI_")]
    for name in (*ours, "NO_COLOR", "HF_HOME", "HF_HUB_CACHE", "TEXTUAL_THEME", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(pocket_cache))
    return home
