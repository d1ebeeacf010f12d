"""Which engine a command talks to: the agent's, one on another host, or one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wan_tui.agent.places import answers, places
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.paths import CONFIG_VARIABLE, config_file

if TYPE_CHECKING:
    from wan_tui.agent.client import Client
    from wan_tui.agent.socket_client import SocketClient
    from wan_tui.agent.tunnel import Tunnel

Result = TypeVar("Result")

# How long a command waits for the agent to come back before it gives up.
COMMAND_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """As the command line says: ``embedded`` in this process, else the agent at ``socket`` or on ``host``."""

    embedded: bool = False
    host: str | None = None
    socket: Path | None = None

    def __post_init__(self) -> None:
        if self.embedded and (self.host or self.socket):
            raise UsageError("--embedded runs an engine here: leave --host and --socket out")

    @property
    def agent_is_there(self) -> bool:
        """Whether there is something to attach to, without starting anything."""
        return not self.embedded and (self.host is not None or answers(places(self.socket).socket))


def run_on(
    where: Where, config: Path | None, work: Callable[[Client], Coroutine[Any, Any, Result]], *, start: bool = True
) -> Result:
    """Run ``work`` against the engine that ``where`` means; ``start`` an agent if there is none. Raises WanTuiError."""
    if where.embedded or not (start or where.agent_is_there):
        from wan_tui.cli.engine import with_engine
        from wan_tui.core.config import load_settings

        return with_engine(load_settings(config), work, config)
    with tunnel(where) as forwarded:

        async def run() -> Result:
            async with attached(where, config, forwarded, patience_seconds=COMMAND_PATIENCE_SECONDS) as client:
                return await work(client)

        return asyncio.run(run())


@contextlib.contextmanager
def tunnel(where: Where) -> Iterator[Tunnel | None]:
    """ssh to the host of ``where``, if it names one."""
    if where.host is None:
        yield None
        return
    from wan_tui.agent.tunnel import Tunnel

    with Tunnel(where.host, where.socket) as opened:
        yield opened


@contextlib.asynccontextmanager
async def attached(
    where: Where,
    config: Path | None,
    forwarded: Tunnel | None = None,
    *,
    start: bool = True,
    patience_seconds: float = 0.0,
) -> AsyncIterator[SocketClient]:
    """A client of the agent, which is started if there is none and ``start``. Raises WanTuiError."""
    from wan_tui.agent.socket_client import SocketClient

    if forwarded is not None:
        await asyncio.to_thread(forwarded.open, quiet=True)
        path = forwarded.socket
    else:
        from wan_tui.agent.spawn import ensure_agent

        here = places(where.socket)
        path = here.socket
        if start:
            await ensure_agent(here, config or config_file())
    async with SocketClient(path, patience_seconds=patience_seconds) as client:
        if forwarded is None:
            _same_configuration(client, config)
        yield client


def _same_configuration(client: SocketClient, config: Path | None) -> None:
    """A file named here must be the agent's: it would be passed over otherwise."""
    named = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    theirs = client.info.config if client.info else None
    if named is None or str(named.resolve()) == theirs:
        return
    raise WanTuiError(
        f"the running agent uses {theirs or 'no configuration file'}, not {named}: end it with `wan-tui agent stop`, "
        "or use --embedded or another --socket"
    )


class AgentSource:
    """Called by the screens for every try: starts an agent until one was reached, then only looks for it again."""

    def __init__(self, where: Where, config: Path | None, forwarded: Tunnel | None) -> None:
        self._where = where
        self._config = config
        self._forwarded = forwarded
        self._reached = False

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[SocketClient]:
        async with attached(self._where, self._config, self._forwarded, start=not self._reached) as client:
            self._reached = True
            yield client
