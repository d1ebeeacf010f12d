"""A control socket around a real engine, in this process; and agents as processes."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp

from tests.core.runtime.harness import settings
from wan_tui import __version__
from wan_tui.agent.messages import API, AgentInfo
from wan_tui.agent.places import Places, holder, places
from wan_tui.agent.server import Api, ControlSocket
from wan_tui.core.engine import Engine


def info(**changes: object) -> AgentInfo:
    values: dict[str, object] = {
        "api": API,
        "version": __version__,
        "pid": 1,
        "instance": "first",
        "started_at": time.time(),
        "config": None,
        "auto_started": False,
    }
    return AgentInfo(**{**values, **changes})  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def serving(
    home: Path, who: AgentInfo | None = None, *, uid: int | None = None
) -> AsyncIterator[tuple[Engine, Api, Path]]:
    """An engine with one pocket deployment behind the usual socket."""
    path = places().socket
    async with Engine(settings(home)) as engine:
        api = Api(engine, who or info(), uid=uid)
        async with ControlSocket(api, path, engine.log):
            yield engine, api, path


@contextlib.asynccontextmanager
async def curl(path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """What any program can say to the socket."""
    connector = aiohttp.UnixConnector(str(path), limit=0)
    async with aiohttp.ClientSession("http://agent", connector=connector) as session:
        yield session


def eventually(condition: Callable[[], object], patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "not seen in time"
        time.sleep(0.05)


def pid_of(where: Places) -> int:
    found = holder(where)
    assert found, "no agent runs"
    return found
