"""What is on the disk of the engine's host, for faces elsewhere.

``GET /v1/frames?path=…&width=…&height=…``: a video or picture as small frames; ``/v1/folder?path=…``: folders and
pictures; ``/v1/sidecar?path=…``: the file beside a video. All of it is read in threads and bounded in size.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.routes.answers import JSON_TYPE, answer
from wan_tui.agent.routes.queries import needed, only, whole
from wan_tui.core.folder import read_folder
from wan_tui.core.reel import MAX_SIDE, read_reel
from wan_tui.core.runtime.outputs import sidecar_text

if TYPE_CHECKING:
    from wan_tui.core.engine import Engine


def routes(_engine: Engine) -> list[web.RouteDef]:
    async def frames(request: web.Request) -> web.Response:
        only(request, "path", "width", "height")
        path = Path(needed(request, "path"))
        width = whole(request, "width", 80, low=1, high=10_000)
        height = whole(request, "height", 48, low=1, high=10_000)

        def read() -> str:
            return read_reel(path, width=min(width, MAX_SIDE), height=min(height, MAX_SIDE)).to_json()

        return web.Response(text=await asyncio.to_thread(read), content_type=JSON_TYPE)

    async def folder(request: web.Request) -> web.Response:
        only(request, "path")
        return answer(await asyncio.to_thread(read_folder, request.query.get("path", "")))

    async def sidecar(request: web.Request) -> web.Response:
        only(request, "path")
        text = await asyncio.to_thread(sidecar_text, Path(needed(request, "path")))
        return web.Response(text=text, content_type=JSON_TYPE)

    return [web.get("/v1/frames", frames), web.get("/v1/folder", folder), web.get("/v1/sidecar", sidecar)]
