"""The terminal UI: on the agent, or on an engine in this process with its metrics on loopback."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wan_tui.cli.attach import AgentSource, Where, tunnel

if TYPE_CHECKING:
    from wan_tui.core.config import Settings
    from wan_tui.core.engine import Engine


def open_screens(config: Path | None = None, *, mouse: bool = False, where: Where | None = None) -> int:
    """Open the terminal UI on the agent, started if need be, or embedded. Raises WanTuiError.

    Without a terminal the plain status is printed instead.
    """
    from wan_tui.ui.app import run, terminal_problem

    where = where or Where()
    problem = terminal_problem()
    if problem is not None:
        from wan_tui.cli.status import print_status

        sys.stderr.write(f"wan-tui: {problem}; this is the plain status\n")
        print_status(config, as_json=False, where=where)
        return 0
    if where.embedded:
        from wan_tui.agent.embedded import EmbeddedClient

        settings = _settings_source(config)
        return run(lambda: EmbeddedClient(settings, companion=serve_metrics, config=config), embedded=True, mouse=mouse)
    if not where.agent_is_there:
        _settings_source(config)  # a mistake in the file is told before the screen is taken
    with tunnel(where) as forwarded:
        return run(AgentSource(where, config, forwarded), embedded=False, mouse=mouse)


@asynccontextmanager
async def serve_metrics(engine: "Engine", settings: "Settings") -> AsyncIterator[None]:
    """``/metrics`` beside the engine. A taken port is told in the event log; the engine runs on without."""
    from wan_exporter.web import create_app, serve
    from wan_tui.core.errors import WanTuiError

    where = settings.exporter
    try:
        server = await serve(create_app(lambda: engine.latest), where.listen_address, where.port)
    except WanTuiError as error:
        engine.log("warning", "exporter", f"no metrics from here: {error}")
        yield
        return
    engine.log("info", "exporter", f"metrics at {server.url}metrics")
    try:
        yield
    finally:
        await server.close()


def _settings_source(config: Path | None) -> "Callable[[], Settings]":
    """Without a configuration file there is nothing to get wrong, and parsing waits for the first frame."""
    from wan_tui.core.paths import config_file

    def load() -> "Settings":
        from wan_tui.core.config import load_settings

        return load_settings(config)

    if config is None and config_file() is None:
        return load
    settings = load()
    return lambda: settings
