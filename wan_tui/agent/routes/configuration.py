"""Routes that change what is wanted: ``/v1/configuration/init``, ``/preview``, ``/apply`` and ``/reload``,
``/v1/deployments/NAME/pin``, and ``/v1/validation`` for all rules or those of one deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.configuration_messages import ChangeBody, PinBody
from wan_tui.agent.messages import parse
from wan_tui.agent.routes.answers import accepted, answer
from wan_tui.core.errors import WanTuiError

if TYPE_CHECKING:
    from wan_tui.agent.configuration import Configuration
    from wan_tui.core.engine import Engine


def routes(engine: Engine, configuration: Configuration | None) -> list[web.RouteDef]:
    """Without a ``configuration`` what is wanted cannot be changed from here."""

    def mine() -> Configuration:
        if configuration is None:
            raise WanTuiError("this engine was not started from a configuration: it cannot be changed from here")
        return configuration

    async def init(_request: web.Request) -> web.Response:
        return accepted(engine, file=await mine().init())

    async def preview(request: web.Request) -> web.Response:
        return answer(await mine().preview(parse(ChangeBody, await request.read()).change))

    async def apply(request: web.Request) -> web.Response:
        body = parse(ChangeBody, await request.read())
        return accepted(engine, backup=await mine().apply(body.change, body.base))

    async def reload(_request: web.Request) -> web.Response:
        return accepted(engine, successful=await mine().reload())

    async def pin(request: web.Request) -> web.Response:
        body = parse(PinBody, await request.read())
        await mine().pin(request.match_info["name"], pinned=body.pinned)
        return accepted(engine)

    async def validate(request: web.Request) -> web.Response:
        await engine.validate(request.match_info.get("name"))
        if configuration is not None:
            await configuration.check()
        return accepted(engine)

    return [
        web.post("/v1/configuration/init", init),
        web.post("/v1/configuration/preview", preview),
        web.post("/v1/configuration/apply", apply),
        web.post("/v1/configuration/reload", reload),
        web.post("/v1/deployments/{name}/pin", pin),
        web.post("/v1/validation", validate),
        web.post("/v1/validation/{name}", validate),
    ]
