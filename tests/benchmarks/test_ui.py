"""The screens cost no more processor time than nvitop does on the same GPUs, and keep to their budget of bytes."""

import importlib.util

import pytest

from tests.benchmarks.ui import compare


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nvitop") is None, reason="nvitop is not installed: NOT compared with it")
def test_the_screens_beside_nvitop() -> None:
    found = {(usage.program, usage.gpus, usage.size): usage for usage in compare(12.0)}
    for (program, gpus, size), usage in found.items():
        if program == "wan-tui":
            peer = found["nvitop", gpus, size]
            # A dozen seconds are told in ticks of 10 ms, hence the allowance of two of them.
            allowed = peer.cpu_seconds_per_minute + 0.1
            assert usage.cpu_seconds_per_minute <= allowed, (usage, peer)
            assert usage.bytes_per_second <= {"80x24": 3_000, "160x48": 10_000}[size], usage
