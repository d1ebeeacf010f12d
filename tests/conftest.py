"""Every test runs with directories of its own and without the settings of whoever runs it."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
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
def home(
    tmp_path_factory: pytest.TempPathFactory, pocket_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """An empty HOME, and no variable that would lead out of it. An agent that was started in it ends with the test."""
    home = tmp_path_factory.mktemp("home")
    ours = [name for name in os.environ if name.startswith("WANTUI_")]
    for name in (*ours, "NO_COLOR", "HF_HOME", "HF_HUB_CACHE", "TEXTUAL_THEME", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(pocket_cache))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    yield home
    for lock in (home / "state").rglob("agent-*.lock"):
        _end(lock)


def _end(lock: Path) -> None:
    """Kill the agent that holds ``lock``; its workers die with it."""
    with lock.open() as handle:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                with contextlib.suppress(ProcessLookupError, ValueError):
                    os.kill(int(lock.read_text()), signal.SIGKILL)
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the agent of {lock} outlives its test")
