"""A client for one command: the engine in this process, for as long as the command runs."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from wan_tui.agent.client import Client
from wan_tui.agent.embedded import EmbeddedClient
from wan_tui.core.config import Settings
from wan_tui.core.errors import WanTuiError
from wan_tui.core.snapshot import Snapshot

Result = TypeVar("Result")


def with_engine(
    settings: Settings, work: Callable[[Client], Coroutine[Any, Any, Result]], config: Path | None = None
) -> Result:
    """Run ``work`` against an engine of its own, which loads nothing unasked. Raises WanTuiError.

    ``config`` is the file that was named, for work that changes it.
    """

    async def run() -> Result:
        async with EmbeddedClient(lambda: settings, load_wanted=False, config=config) as client:
            return await work(client)

    return asyncio.run(run())


async def first_snapshot(client: Client) -> Snapshot:
    """The first complete picture of the host."""
    async for snapshot in client.snapshots():
        return snapshot
    raise WanTuiError("the engine ended before its first snapshot")
