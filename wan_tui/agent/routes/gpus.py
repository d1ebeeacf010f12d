"""``GET /v1/gpus/UUID/history``: the last hour of one GPU; ``/v1/gpus/UUID/processes``: who holds its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.routes.answers import answer

if TYPE_CHECKING:
    from wan_tui.core.engine import Engine


def routes(engine: Engine) -> list[web.RouteDef]:
    async def history(request: web.Request) -> web.Response:
        return answer(await engine.gpu_history(request.match_info["uuid"]))

    async def processes(request: web.Request) -> web.Response:
        return answer(await engine.gpu_processes(request.match_info["uuid"]))

    return [
        web.get("/v1/gpus/{uuid}/history", history),
        web.get("/v1/gpus/{uuid}/processes", processes),
    ]
