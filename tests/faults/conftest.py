"""Fixtures of the faults."""

import pytest

from wan_tui.core.runtime import launcher, supervision


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the product waits for in seconds, in tenths of them."""
    monkeypatch.setattr(supervision, "FIRST_BACKOFF_SECONDS", 0.3)
    monkeypatch.setattr(supervision, "MEMORY_PATIENCE_SECONDS", 1.5)
    monkeypatch.setattr(launcher, "TERMINATE_GRACE_SECONDS", 0.3)
