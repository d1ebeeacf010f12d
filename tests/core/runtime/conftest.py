"""Simulated hosts for the engine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import simnvml
from tests.core.runtime.simulated import SimulatedHost
from tests.simnvml import SimGpu


@pytest.fixture(scope="session")
def simnvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the simulated ``libnvidia-ml.so.1``."""
    if simnvml.compiler() is None:
        pytest.skip("no C compiler for the simulated driver")
    return simnvml.build(tmp_path_factory.mktemp("simnvml"))


@pytest.fixture
def with_gpus(simnvml_library: Path, tmp_path: Path) -> Iterator[Callable[..., SimulatedHost]]:
    """``with_gpus(card(), card())``: a host whose driver has these; it ends with the test."""
    hosts: list[SimulatedHost] = []

    def make(*gpus: SimGpu) -> SimulatedHost:
        hosts.append(SimulatedHost(simnvml_library, tmp_path, *gpus))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()
