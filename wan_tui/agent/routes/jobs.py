"""``POST /v1/jobs`` and ``/v1/jobs/ID/cancel``, ``/move`` and ``/remove``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.messages import JobOrder, Move, parse
from wan_tui.agent.routes.answers import accepted
from wan_tui.core.errors import WanTuiError, unknown_name

if TYPE_CHECKING:
    from wan_tui.core.engine import Engine


def routes(engine: Engine) -> list[web.RouteDef]:
    async def generate(request: web.Request) -> web.Response:
        order = parse(JobOrder, await request.read())
        async for snapshot in engine.snapshots():
            deployment = snapshot.deployment(order.deployment)
            if deployment is None:
                raise unknown_name("deployment", order.deployment, [known.name for known in snapshot.deployments])
            return accepted(engine, job=await engine.generate(order.request(deployment.defaults)))
        raise WanTuiError("the engine is stopping")

    async def cancel(request: web.Request) -> web.Response:
        await engine.cancel(request.match_info["id"])
        return accepted(engine)

    async def move(request: web.Request) -> web.Response:
        order = parse(Move, await request.read())
        await engine.move(request.match_info["id"], order.by)
        return accepted(engine)

    async def remove(request: web.Request) -> web.Response:
        await engine.remove(request.match_info["id"])
        return accepted(engine)

    return [
        web.post("/v1/jobs", generate),
        web.post("/v1/jobs/{id}/cancel", cancel),
        web.post("/v1/jobs/{id}/move", move),
        web.post("/v1/jobs/{id}/remove", remove),
    ]
