"""Queries about what would be and what was: ``POST /v1/assessments`` (will it fit, how long will it take; a list of
questions in, a list of answers out), ``GET /v1/deployments/NAME/timeline`` (its device memory over the last hour)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.planning_messages import assessments_as, questions_from
from wan_tui.agent.routes.answers import JSON_TYPE, answer

if TYPE_CHECKING:
    from wan_tui.core.engine import Engine


def routes(engine: Engine) -> list[web.RouteDef]:
    async def assess(request: web.Request) -> web.Response:
        found = await engine.assess(questions_from(await request.read()))
        return web.Response(body=assessments_as(found), content_type=JSON_TYPE)

    async def timeline(request: web.Request) -> web.Response:
        return answer(await engine.timeline(request.match_info["name"]))

    return [
        web.post("/v1/assessments", assess),
        web.get("/v1/deployments/{name}/timeline", timeline),
    ]
