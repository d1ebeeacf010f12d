"""The engine on a thread of its own, behind the client protocol."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.core.runtime.harness import settings
from wan_tui.agent.embedded import EmbeddedClient
from wan_tui.core.config import Settings
from wan_tui.core.errors import UsageError


async def test_a_face_that_stops_does_not_stop_the_engine(home: Path) -> None:
    async with EmbeddedClient(lambda: settings(home)) as client:
        snapshots = client.snapshots()
        before = await anext(snapshots)
        time.sleep(1.5)  # noqa: ASYNC251 - the face's loop is stuck, as with a terminal that no longer reads
        after = await anext(snapshots)
        assert after.number >= before.number + 3, "it went on at 0.3 s a poll"
        assert time.time() - after.taken_at < 1.0, "and the newest snapshot came, not a backlog"


async def test_errors_come_to_the_caller(home: Path) -> None:
    async with EmbeddedClient(lambda: settings(home)) as client:
        with pytest.raises(UsageError, match="did you mean pocket"):
            await client.load("pockets")


async def test_settings_that_cannot_be_had_are_told_when_entering() -> None:
    def broken() -> Settings:
        raise UsageError("wan-tui.toml: a mistake")

    with pytest.raises(UsageError, match="a mistake"):
        async with EmbeddedClient(broken):
            raise AssertionError("entered")


async def test_leaving_ends_the_thread_and_the_stream(home: Path) -> None:
    async with EmbeddedClient(lambda: settings(home)) as client:
        stream = client.snapshots()
        await anext(stream)
    async with asyncio.timeout(5):
        async for _ in stream:
            pass
    assert not client._thread.is_alive()
