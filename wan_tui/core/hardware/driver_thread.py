"""A thread for calls that may never return."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class DriverUnanswered(Exception):
    """No answer in time, or none to be expected: an earlier call still hangs, or the thread is closed."""


class DriverThread:
    """Makes one driver call at a time, so a call that hangs costs this one thread and nobody's event loop.

    Not a ``ThreadPoolExecutor``: the interpreter joins its threads at exit, and a hung call would hang the exit too.
    """

    def __init__(self, name: str) -> None:
        self._requests: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._answer: Future[Any] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    @property
    def busy(self) -> bool:
        """A call was made and has not answered. Between samples that is a stuck call."""
        return self._answer is not None and not self._answer.done()

    async def call(self, function: Callable[[], T], timeout_seconds: float) -> T:
        """Run ``function`` in the thread and return or raise what it did.

        Raises ``DriverUnanswered`` after ``timeout_seconds``, and at once while an earlier call is still unanswered.
        An answer that comes too late is dropped: it is old by then, and the next call brings a fresh one.
        """
        if self._closed or self.busy:
            raise DriverUnanswered
        if not self._thread.is_alive():
            self._thread.start()
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()  # giving up on the answer must not cancel it: the thread sets it anyway
        self._answer = answer
        self._requests.put((function, answer))
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            raise DriverUnanswered from None

    def close(self, last: Callable[[], Any] | None = None) -> None:
        """Take no more calls and end the thread after ``last`` (and after a hung call, if that ever answers)."""
        if self._closed:
            return
        self._closed = True
        if last is not None:
            self._requests.put((last, Future()))
        self._requests.put(None)

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            function, answer = request
            try:
                result = function()
            except Exception as error:
                answer.set_exception(error)
            else:
                answer.set_result(result)
