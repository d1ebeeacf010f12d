"""Whoever asks too much or too slowly: the engine polls on as ever, and Prometheus is still answered."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests import simnvml
from tests.exporter.test_process import running
from tests.simnvml import Scenario, SimGpu
from wan_exporter.listening import CONNECTIONS

CONFIG = """\
[polling]
interval_seconds = 0.1
[paths]
outputs = "{home}/outputs"
history = "{home}/history.sqlite3"
"""
WINDOW_SECONDS = 3.0
SCRAPERS = 200
SLOW = CONNECTIONS + 100


@pytest.fixture
async def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """host:port of a real exporter with eight simulated GPUs and the four deployments of the default."""
    if simnvml.compiler() is None:
        pytest.skip("no C compiler for the simulated NVIDIA driver: NOT checked")
    scenario = tmp_path / "scenario"
    Scenario(gpus=[SimGpu() for _ in range(8)]).write(scenario)
    for name, value in simnvml.environment(simnvml.build(tmp_path / "nvml"), scenario).items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "wan-tui.toml"
    config.write_text(CONFIG.format(home=tmp_path))
    async with running(config, "--web.listen-address=127.0.0.1:0") as (_, (address,)):
        yield address


async def polls(session: aiohttp.ClientSession, address: str) -> float:
    """How often the engine has asked the driver."""
    async with session.get(f"http://{address}/metrics?collect[]=host") as response:
        text = await response.text()
    match = re.search(r'^wantui_poller_polls_total{poller="nvml"} (\S+)$', text, re.M)
    return float(match[1]) if match else 0.0


async def rate(session: aiohttp.ClientSession, address: str) -> float:
    """Polls per second in the next seconds."""
    before, began = await polls(session, address), time.monotonic()
    await asyncio.sleep(WINDOW_SECONDS)
    return (await polls(session, address) - before) / (time.monotonic() - began)


async def started(session: aiohttp.ClientSession, address: str) -> None:
    async with asyncio.timeout(60):
        while await polls(session, address) < 5:  # noqa: ASYNC110, another process
            await asyncio.sleep(0.1)


async def scrape_every_second(session: aiohttp.ClientSession, address: str, statuses: list[int]) -> None:
    while True:
        began = time.monotonic()
        async with session.get(f"http://{address}/metrics") as response:
            await response.read()
            statuses.append(response.status)
        await asyncio.sleep(max(0.0, 1 - (time.monotonic() - began)))


async def test_two_hundred_scrapers_at_once_do_not_slow_the_engine(target: str) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as crowd, aiohttp.ClientSession() as session:
        await started(session, target)
        quiet = await rate(session, target)
        statuses: list[int] = []
        tasks = [asyncio.create_task(scrape_every_second(crowd, target, statuses)) for _ in range(SCRAPERS)]
        busy = await rate(session, target)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert len(statuses) > SCRAPERS
    assert set(statuses) == {200}
    assert busy > quiet / 2, f"{quiet:.1f} polls a second without, {busy:.1f} with {SCRAPERS} scrapers"


async def never_ending(address: str, ended: list[float]) -> None:
    """A request whose headers come one by one, without end."""
    host, _, port = address.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except ConnectionError:  # ended before it was begun
        ended.append(time.monotonic())
        return
    try:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        while not reader.at_eof():
            writer.write(b"X-Header: value\r\n")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await reader.read(1)
        ended.append(time.monotonic())
    except ConnectionError:
        ended.append(time.monotonic())
    finally:
        writer.close()


async def test_slow_requests_hold_neither_the_engine_nor_prometheus(target: str) -> None:
    async with aiohttp.ClientSession() as session:
        await started(session, target)
        quiet = await rate(session, target)
        ended: list[float] = []
        tasks = [asyncio.create_task(never_ending(target, ended)) for _ in range(SLOW)]
        busy = await rate(session, target)
        async with asyncio.timeout(60):
            # Our own scrapes are connections too, and may be the oldest ones.
            while len(ended) < SLOW - CONNECTIONS - 10:  # noqa: ASYNC110, another process
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as newcomer, newcomer.get(f"http://{target}/metrics") as response:
            assert response.status == 200, "a new connection takes the place of the oldest"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert busy > quiet / 2, f"{quiet:.1f} polls a second without, {busy:.1f} with {SLOW} slow requests"
