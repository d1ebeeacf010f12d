"""A series of ours costs no more than one of nvitop-exporter, and is no older than two polls of a slow driver."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from tests import simnvml
from tests.benchmarks.exporter import (
    Driver,
    Figures,
    compare,
    compare_ages,
    compare_crowds,
    crowd,
    peer_installed,
    running,
)

needs_compiler = pytest.mark.skipif(simnvml.compiler() is None, reason="no C compiler for the simulated driver")
needs_peer = pytest.mark.skipif(
    not peer_installed(), reason="pip install 'wan-tui[bench]': nvitop-exporter, NOT compared"
)
pytestmark = needs_compiler


def assert_cheaper(figures: dict[str, Figures]) -> None:
    ours, peer = figures["ours"], figures["nvitop"]
    assert ours.series > peer.series
    assert ours.p50_per_series <= peer.p50_per_series, f"{ours} beside {peer}"


@needs_peer
def test_a_series_takes_no_longer_than_one_of_the_peer() -> None:
    assert_cheaper(compare(gpus=8, scrapes=15))


@pytest.mark.slow
def test_fifty_scrapers_at_once_are_all_answered() -> None:
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        with running("ours", Driver(home, 8), home, shared=True) as exporter:
            _, errors = asyncio.run(crowd(exporter))
    assert errors == 0


@pytest.mark.slow
@needs_peer
@pytest.mark.parametrize("gpus", [1, 64])
def test_few_and_many_gpus(gpus: int) -> None:
    figures = compare(gpus, scrapes=40)
    assert_cheaper(figures)
    ours, peer = figures["ours"], figures["nvitop"]
    assert ours.cpu_per_series <= peer.cpu_per_series


@pytest.mark.slow
@needs_peer
def test_a_crowd_waits_less_than_at_the_peer() -> None:
    found = compare_crowds(8)
    assert found["ours"][1] == 0
    assert found["ours"][0] < found["nvitop"][0]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("gpus", [8, 64])
def test_data_of_a_slow_driver_are_no_older_than_two_polls(gpus: int) -> None:
    ages = compare_ages(gpus, trials=2)
    # A change comes just after its GPU was read, waits for the next poll, and that takes its time; then the scrape.
    assert ages["ours"] <= 2 * ages["poll"] + 0.5
    if "nvitop" in ages:
        assert ages["ours"] < ages["nvitop"]
