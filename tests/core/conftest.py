"""The simulated NVIDIA driver, compiled once."""

from pathlib import Path

import pytest

from tests import simnvml


@pytest.fixture(scope="session")
def simnvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the simulated ``libnvidia-ml.so.1``."""
    if simnvml.compiler() is None:
        pytest.skip("no C compiler for the simulated driver")
    return simnvml.build(tmp_path_factory.mktemp("simnvml"))
