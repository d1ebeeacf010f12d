"""One good folder per pocket model."""

from pathlib import Path

import pytest

from wan_tui.core.catalog import load_catalogue
from wan_tui.worker.pocket import ensure_pocket


@pytest.fixture(scope="session")
def good(pocket_cache: Path) -> dict[str, Path]:
    pockets = [model for model in load_catalogue().models if model.weights == "pocket"]
    return {model.id: ensure_pocket(model, pocket_cache) for model in pockets}
