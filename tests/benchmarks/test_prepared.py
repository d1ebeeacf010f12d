"""A prepared checkpoint is mapped: it loads in a fraction of the time and memory of casting the published one."""

import pytest

from tests.benchmarks.prepared import compare


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_prepared_checkpoint_loads_in_a_fifth_of_the_time_and_a_third_of_the_memory() -> None:
    found = compare(2)
    assert found.bytes > 2_000_000_000
    assert found.time_ratio <= 0.2
    assert found.peak_ratio <= 0.3
