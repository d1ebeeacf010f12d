"""Processes that sample the simulated NVIDIA driver."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import simnvml
from tests.simnvml import Scenario
from tests.simnvml.sampler import Sampler

DEADLINE_SECONDS = 1.0  # for tests in which a call hangs


@pytest.fixture
def host(simnvml_library: Path, tmp_path: Path) -> "Iterator[SimulatedHost]":
    """A host whose driver says what the test writes."""
    with ExitStack() as stack:
        yield SimulatedHost(simnvml_library, tmp_path / "scenario", stack.enter_context)


class SimulatedHost:
    def __init__(self, library: Path, scenario: Path, enter: Callable[[Sampler], Sampler]) -> None:
        self._library, self._scenario, self._enter = library, scenario, enter

    def says(self, scenario: Scenario) -> None:
        """From now on."""
        scenario.write(self._scenario)

    def probe(self, deadline_seconds: float = 10.0) -> Sampler:
        """A process with an NVML probe, which ends with the test."""
        return self._enter(Sampler(simnvml.environment(self._library, self._scenario), deadline_seconds))
