"""``GET /v1/history`` in pages, narrowed by query; ``/v1/history/csv`` and ``/json`` as the command prints it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.routes.answers import JSON_TYPE, answer
from wan_tui.agent.routes.queries import only, whole
from wan_tui.core.errors import UsageError
from wan_tui.core.runtime.past import KINDS, MAX_PAGE, PastFilter, parse_since

if TYPE_CHECKING:
    from wan_tui.core.engine import Engine

_NARROWED = ("deployment", "kind", "since", "words")


def routes(engine: Engine) -> list[web.RouteDef]:
    async def page(request: web.Request) -> web.Response:
        only(request, *_NARROWED, "before", "limit")
        limit = whole(request, "limit", MAX_PAGE, low=1, high=MAX_PAGE)
        found = await engine.past(_chosen(request), request.query.get("before"), limit)
        return await asyncio.to_thread(answer, found)

    async def text(request: web.Request) -> web.Response:
        only(request, *_NARROWED)
        form = request.match_info["form"]
        content = await engine.past_text(_chosen(request), form)
        return web.Response(text=content, content_type=JSON_TYPE if form == "json" else "text/csv")

    return [web.get("/v1/history", page), web.get("/v1/history/{form}", text)]


def _chosen(request: web.Request) -> PastFilter:
    query = request.query
    kind = query.get("kind")
    if kind is not None and kind not in KINDS:
        raise UsageError(f"kind {kind!r}: must be run or load")
    return PastFilter(
        deployment=query.get("deployment"),
        kind=kind,
        since=_since(query["since"]) if "since" in query else None,
        words=tuple(query.get("words", "").split()),
    )


def _since(text: str) -> float:
    """Unix seconds, or as people say it."""
    try:
        return max(float(text), 0.0)
    except ValueError:
        return parse_since(text, time.time())
