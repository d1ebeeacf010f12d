"""The newest value for any number of readers, none of which can slow the writer down."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Latest(Generic[Value]):
    """Keeps one value. A reader that is slow misses the values in between, never the newest one."""

    def __init__(self) -> None:
        self.value: Value | None = None
        self._version = 0
        self._closed = False
        self._changed = asyncio.Event()

    def publish(self, value: Value) -> None:
        self.value = value
        self._version += 1
        self._wake()

    def close(self) -> None:
        """End every iteration."""
        self._closed = True
        self._wake()

    async def values(self) -> AsyncIterator[Value]:
        """The present value, if any, then each newer one that the reader has time for."""
        seen = 0
        while not self._closed:
            changed = self._changed
            if self.value is not None and self._version != seen:
                seen = self._version
                yield self.value
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
