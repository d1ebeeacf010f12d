"""Time that passes as soon as nobody has anything left to do: a week of a simulated host takes a minute.

Everything in the process reads the same simulated clock, and what would run in a thread runs at once, so the same
script gives the same history. For a process of its own only: nothing else could live with such a clock.
"""

import asyncio
import contextlib
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")


class _Clock:
    def __init__(self, start: float) -> None:
        self.start, self.passed = start, 0.0

    def time(self) -> float:
        return self.start + self.passed

    def monotonic(self) -> float:
        # Not from 0: "a minute ago" must exist.
        return 1e5 + self.passed


class _Selector(selectors.DefaultSelector):
    """Instead of waiting for a timer, moves the clock to it; what is ready now always goes first."""

    clock: _Clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None and timeout > 0:
            self.clock.passed += timeout
        return ready


def run_simulated(main: Callable[[], Coroutine[Any, Any, T]], start: float) -> T:
    """Run ``main()`` to its end on a clock that stands at ``start`` (Unix seconds) when it begins."""
    clock = _Clock(start)

    def loop() -> asyncio.AbstractEventLoop:
        selector = _Selector()
        selector.clock = clock
        return asyncio.SelectorEventLoop(selector)

    with _time_of(clock), asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


@contextlib.contextmanager
def _time_of(clock: _Clock) -> Iterator[None]:
    with (
        mock.patch.object(time, "time", clock.time),
        mock.patch.object(time, "monotonic", clock.monotonic),
        mock.patch.object(ThreadPoolExecutor, "submit", _at_once),
    ):
        yield


def _at_once(_self: ThreadPoolExecutor, work: Callable[..., T], /, *arguments: Any, **named: Any) -> "Future[T]":
    """``Executor.submit`` without a thread: the clock must not move before the work is done."""
    done: Future[T] = Future()
    try:
        done.set_result(work(*arguments, **named))
    except BaseException as error:
        done.set_exception(error)
    return done
