"""``POST /v1/assessments``: will it fit, how long will it take; a list of questions in, a list of answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.planning_messages import assessments_as, questions_from

if TYPE_CHECKING:
    from wan_tui.core.engine import Engine


def routes(engine: Engine) -> list[web.RouteDef]:
    """Queries of the planner: they change nothing."""

    async def assess(request: web.Request) -> web.Response:
        found = await engine.assess(questions_from(await request.read()))
        return web.Response(body=assessments_as(found), content_type="application/json")

    return [web.post("/v1/assessments", assess)]
