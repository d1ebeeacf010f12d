"""``GET /v1/logs/SOURCE?after=N``: what ``agent`` or ``worker NAME`` said; the answer names all sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.routes.answers import answer
from wan_tui.core.errors import UsageError

if TYPE_CHECKING:
    from wan_tui.core.engine import Engine


def routes(engine: Engine) -> list[web.RouteDef]:
    async def logs(request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            raise UsageError(f"after {after!r}: must be the number of a line")
        return answer(await engine.logs(request.match_info["source"], int(after[:18])))

    return [web.get("/v1/logs/{source}", logs)]
