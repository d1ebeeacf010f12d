"""One background loop's bookkeeping: how often it ran, how often it failed, how long it took."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from wan_tui.core.hardware.samples import PollerStatus


class Poller:
    """Runs one kind of poll and counts. A poll that hangs is left alone and counted as failed until it returns."""

    def __init__(self, name: str, interval_seconds: float, patience_seconds: float = 10.0) -> None:
        self._name = name
        self.interval_seconds = interval_seconds
        self._patience_seconds = patience_seconds
        self.problem: str | None = None
        self._hanging: asyncio.Future[bool] | None = None
        self._polls = 0
        self._failed = 0
        self._last_success_at: float | None = None
        self._last_duration_seconds: float | None = None

    async def run(self, poll: Callable[[], Awaitable[bool]]) -> None:
        """Poll once; ``poll`` returns whether it succeeded. An exception is a failed poll and stands in ``problem``:
        one poller that is broken must not end the others.
        """
        self._polls += 1
        if self._hanging is not None and not self._hanging.done():
            self._failed += 1
            return
        started = time.monotonic()
        self._hanging = asyncio.ensure_future(poll())
        # Not asyncio.wait_for: before Python 3.12 it swallows a cancellation that comes as the poll ends.
        await asyncio.wait({self._hanging}, timeout=self._patience_seconds)
        succeeded = False
        if not self._hanging.done():
            self.problem = f"no answer in {self._patience_seconds:g} s"
        elif (error := self._hanging.exception()) is not None:
            self.problem = f"{type(error).__name__}: {error}"
        else:
            succeeded = self._hanging.result()
        self._last_duration_seconds = time.monotonic() - started
        if succeeded:
            self._last_success_at, self.problem = time.time(), None
        else:
            self._failed += 1

    def status(self) -> PollerStatus:
        return PollerStatus(
            poller=self._name,
            interval_seconds=self.interval_seconds,
            polls=self._polls,
            failed_polls=self._failed,
            last_success_at=self._last_success_at,
            last_duration_seconds=self._last_duration_seconds,
        )
