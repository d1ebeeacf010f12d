"""Simulated hosts for the engine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.core.runtime.simulated import SimulatedHost
from tests.simnvml import SimGpu


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
