"""``wan-tui agent``: the process that owns the engine."""

import asyncio
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from wan_tui.cli.attach import Where
from wan_tui.core.errors import WanTuiError
from wan_tui.core.units import format_seconds

agent_app = typer.Typer(
    help="Start, end and see the process that owns the engine; screens and commands attach to it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

# Beyond the time that what runs may take: ending the workers.
STOP_SECONDS = 30.0
FOLLOW_SECONDS = 0.5


def _where(context: typer.Context) -> Where:
    where: Where = context.meta.get("wan_tui.where") or Where()
    return where


@agent_app.command()
def start(context: typer.Context) -> int:
    """Start it in the background, unless it runs; it stays until it is stopped. Prints its socket."""
    from wan_tui.agent.places import places
    from wan_tui.agent.spawn import ensure_agent
    from wan_tui.core.config import load_settings
    from wan_tui.core.paths import config_file

    config: Path | None = context.obj
    load_settings(config)  # a mistake is told here, not in a log
    here = places(_where(context).socket)
    began = asyncio.run(ensure_agent(here, config or config_file(), auto_started=False))
    sys.stderr.write("started\n" if began else "it already runs\n")
    print(here.socket)
    return 0


@agent_app.command()
def stop(
    context: typer.Context,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for running jobs: they are interrupted.")] = False,
) -> int:
    """End it: what runs may finish within agent.drain_seconds, what waits is kept for the next one."""
    from wan_tui.agent.places import places
    from wan_tui.agent.spawn import stop_agent
    from wan_tui.core.config import load_settings

    try:
        drain = load_settings(context.obj).agent.drain_seconds
    except WanTuiError:
        drain = 30.0  # the file may be broken; stopping must work
    here = places(_where(context).socket)
    ended = stop_agent(
        here, now=now, patience_seconds=drain + STOP_SECONDS, say=lambda text: sys.stderr.write(f"{text}\n")
    )
    sys.stderr.write("stopped\n" if ended else f"no agent runs at {here.socket}\n")
    return 0


@agent_app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> int:
    """Say whether it runs, and what it is; status 1 when it does not."""
    from wan_tui.agent.places import places
    from wan_tui.agent.socket_client import SocketClient

    here = places(_where(context).socket)

    async def ask() -> dict[str, object]:
        async with SocketClient(here.socket) as client:
            assert client.info is not None
            return dataclasses.asdict(client.info) | {"socket": str(here.socket), "log": str(here.log)}

    info = asyncio.run(ask())
    if as_json:
        print(json.dumps(info, indent=2))
        return 0
    age = format_seconds(time.time() - float(str(info["started_at"])))
    print(f"runs as process {info['pid']} for {age}, wan-tui {info['version']}")
    for name in ("socket", "config", "log"):
        print(f"{name}: {info[name] or 'none'}")
    urls = info["metrics"]
    print(f"metrics: {', '.join(urls) if isinstance(urls, tuple | list) and urls else 'none'}")
    print(f"clients: {info['clients']}")
    return 0


@agent_app.command()
def logs(
    context: typer.Context,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
) -> int:
    """Print the end of its log, across the files that it was put aside in."""
    from wan_tui.agent.logfile import follow as follow_log
    from wan_tui.agent.logfile import last_lines
    from wan_tui.agent.places import places

    file = places(_where(context).socket).log
    try:
        if not follow:
            print(*last_lines(file, lines), sep="", end="", flush=True)
            return 0
        for text in follow_log(file, lines, lambda: time.sleep(FOLLOW_SECONDS)):
            print(text, end="", flush=True)
    except OSError as error:
        raise WanTuiError(f"no log of an agent at {file}: {error.strerror}") from None
    return 0


@agent_app.command()
def socket(context: typer.Context) -> int:
    """Print the path of its control socket; curl --unix-socket PATH http://agent/v1/snapshot works on it."""
    from wan_tui.agent.places import places

    print(places(_where(context).socket).socket)
    return 0
