"""Fixtures of the exporter's tests."""

import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests import snapshots
from wan_exporter.web import Server, create_app, serve


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that decompresses nothing, so that tests see what was sent."""
    async with aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding"]) as client:
        yield client


@pytest.fixture
async def exporter() -> AsyncIterator[Server]:
    """The web application on a real port, fed by a snapshot of eight GPUs that was taken just now."""
    server = await serve(create_app(lambda: snapshots.eight_gpus_one_lost(time.time())), "127.0.0.1", 0)
    yield server
    await server.close()
