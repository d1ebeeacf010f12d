"""Generating through the agent costs next to nothing beside generating with diffusers alone."""

import pytest

from tests import simnvml
from tests.benchmarks.agent import compare


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(simnvml.compiler() is None, reason="no C compiler for the simulated driver")
def test_through_the_agent_a_generation_takes_as_long_as_in_a_plain_script() -> None:
    found = compare(5)
    # A machine that does other things as well stretches the wall clock of either, but adds no work.
    assert min(found.time_ratio, found.cpu_ratio) <= 1.03
    # The peer answers one route and judges nothing.
    assert found.agent.resident_bytes / found.peer.resident_bytes <= 4
