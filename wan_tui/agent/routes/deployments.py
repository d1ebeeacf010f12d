"""``POST /v1/deployments/NAME/load`` and ``/unload``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.routes.answers import accepted

if TYPE_CHECKING:
    from wan_tui.core.engine import Engine


def routes(engine: Engine) -> list[web.RouteDef]:
    async def load(request: web.Request) -> web.Response:
        await engine.load(request.match_info["name"])
        return accepted(engine)

    async def unload(request: web.Request) -> web.Response:
        await engine.unload(request.match_info["name"])
        return accepted(engine)

    return [
        web.post("/v1/deployments/{name}/load", load),
        web.post("/v1/deployments/{name}/unload", unload),
    ]
