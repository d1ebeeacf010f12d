"""The one reader of the client: snapshots become messages, a broken stream becomes a reason and another try."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from textual.message import Message

from wan_tui.agent.client import Client
from wan_tui.core.errors import WanTuiError

if TYPE_CHECKING:
    from wan_tui.core.snapshot import Snapshot

ClientSource = Client | Callable[[], Any]
"""A client, or what makes one (a client or an async context manager that yields one)."""


STOP_SECONDS = 15.0


class SnapshotArrived(Message):
    """The newest snapshot. An unread older one is replaced, so a slow terminal never builds a backlog."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, SnapshotArrived)


class FeedLost(Message):
    """The stream broke for ``reason``; the next try is ``retry_seconds`` away."""

    def __init__(self, reason: str, retry_seconds: float) -> None:
        super().__init__()
        self.reason = reason
        self.retry_seconds = retry_seconds


class Feed:
    """Opens the client, reads it for ever, and opens it again after a failure with growing pauses."""

    def __init__(
        self,
        source: ClientSource,
        post: Callable[[Message], object],
        *,
        first_pause: float = 1.0,
        pause_seconds: float = 0.0,
    ) -> None:
        self._source = source
        self._post = post
        self._first_pause = first_pause
        self.pause_seconds = pause_seconds
        """The least time between two snapshots that are posted; the newest always comes through."""
        self._posted_at = 0.0
        self._waiting: Snapshot | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._again = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.client: Client | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="feed")

    def retry_now(self) -> None:
        self._again.set()

    async def stop(self) -> None:
        """End the reading and close the client: an embedded engine stops its workers here, so this is awaited."""
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=STOP_SECONDS)

    async def _run(self) -> None:
        pause = self._first_pause
        while True:
            try:
                async with self._open() as client:
                    self.client = client
                    async for snapshot in client.snapshots():
                        pause = self._first_pause
                        self._offer(snapshot)
                reason = "the engine ended the stream"
            except WanTuiError as error:
                reason = str(error)
            except Exception as error:  # whatever it is, the operator reads it and the next try may work
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            finally:
                self.client = None
            self._post(FeedLost(reason, pause))
            await self._rest(pause)
            pause = min(pause * 2, 15.0)

    def _offer(self, snapshot: Snapshot) -> None:
        """Post it now, or when the pause is over; then the newest that came meanwhile."""
        loop = asyncio.get_running_loop()
        self._waiting = snapshot
        if self._timer is not None:
            return
        wait = self._posted_at + self.pause_seconds - loop.time()
        if wait <= 0:
            self._post_waiting()
        else:
            self._timer = loop.call_later(wait, self._post_waiting)

    def _post_waiting(self) -> None:
        self._timer = None
        if self._waiting is not None:
            self._posted_at = asyncio.get_running_loop().time()
            self._post(SnapshotArrived(self._waiting))
            self._waiting = None

    async def _rest(self, seconds: float) -> None:
        self._again.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._again.wait()
        except TimeoutError:
            pass

    def _open(self) -> AbstractAsyncContextManager[Client]:
        if not callable(self._source):
            return _borrowed(self._source)
        made = self._source()
        opened: AbstractAsyncContextManager[Client] = made if hasattr(made, "__aenter__") else _borrowed(made)
        return opened


@asynccontextmanager
async def _borrowed(client: Client) -> AsyncIterator[Client]:
    """A client that someone else opened and will close."""
    yield client
