"""What the agent answers, one module per subject. Each has ``routes(engine)``; a new one is one more line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.agent.routes import configuration as of_configuration
from wan_tui.agent.routes import deployments, files, gpus, history, jobs, logs, planning

if TYPE_CHECKING:
    from aiohttp import web

    from wan_tui.agent.configuration import Configuration
    from wan_tui.core.engine import Engine

SUBJECTS = (
    deployments,
    files,
    gpus,
    history,
    jobs,
    logs,
    planning,
)


def all_routes(engine: Engine, configuration: Configuration | None) -> list[web.RouteDef]:
    """Everything except the snapshots, which belong to the server itself."""
    of_engine = [route for subject in SUBJECTS for route in subject.routes(engine)]
    return [*of_engine, *of_configuration.routes(engine, configuration)]
