"""The terminal UI: on the agent, or on an engine in this process with its metrics on loopback."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_tui.cli.attach import AgentSource, Where, tunnel

if TYPE_CHECKING:
    from wan_tui.core.config import Settings
    from wan_tui.core.engine import Engine
    from wan_tui.ui.options import UiOptions


def open_screens(
    config: Path | None = None,
    *,
    where: Where | None = None,
    change: "Callable[[UiOptions], UiOptions] | None" = None,
    picture: Path | None = None,
    size: str = "160x48",
) -> int:
    """Open the terminal UI on the agent, started if need be, or embedded. Raises WanTuiError.

    Without a terminal the plain status is printed instead. ``change`` is what the command line says about the
    options of the file; ``picture`` is written instead of opening anything.
    """
    from wan_tui.ui.terminal import terminal_problem

    where = where or Where()
    problem = terminal_problem()
    if problem is not None and picture is None:
        from wan_tui.cli.status import print_status

        sys.stderr.write(f"wan-tui: {problem}; this is the plain status\n")
        print_status(config, as_json=False, where=where)
        return 0
    options = _options(config, change, remember=picture is None)
    if where.embedded:
        from wan_tui.agent.embedded import EmbeddedClient

        settings = _settings_source(config)
        companion = None if picture else serve_metrics
        return _show(lambda: EmbeddedClient(settings, companion=companion, config=config), options, True, picture, size)
    if not where.agent_is_there:
        _settings_source(config)  # a mistake in the file is told before the screen is taken
    with tunnel(where) as forwarded:
        return _show(AgentSource(where, config, forwarded), options, False, picture, size)


def _show(source: "Callable[[], Any]", options: "UiOptions", embedded: bool, picture: Path | None, size: str) -> int:
    from wan_tui.ui.launch import picture as draw
    from wan_tui.ui.launch import run, size_of

    if picture is None:
        return run(source, options, embedded=embedded)
    draw(source, options, picture, size_of(size))
    print(picture)
    return 0


def _options(config: Path | None, change: "Callable[[UiOptions], UiOptions] | None", *, remember: bool) -> "UiOptions":
    """As the file says, then the command line."""
    from wan_tui.core.paths import config_file, default_paths
    from wan_tui.ui.options import from_file

    options = from_file(config or config_file())
    if remember:
        options = replace(options, state=default_paths().state / "ui.json")
    return change(options) if change is not None else options


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
