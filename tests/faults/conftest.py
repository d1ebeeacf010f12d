"""Fixtures of the faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.forking import Zygote
from wan_tui.core.runtime import launcher, supervision


@pytest.fixture(scope="session")
def zygote(pocket_cache: Path) -> Iterator[Zygote]:
    process = Zygote(pocket_cache)
    yield process
    process.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the product waits for in seconds, in tenths of them."""
    monkeypatch.setattr(supervision, "FIRST_BACKOFF_SECONDS", 0.3)
    monkeypatch.setattr(supervision, "MEMORY_PATIENCE_SECONDS", 1.5)
    monkeypatch.setattr(launcher, "TERMINATE_GRACE_SECONDS", 0.3)
