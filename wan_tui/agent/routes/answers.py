"""How the handlers answer: one line of JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from wan_tui.core.engine import Engine

JSON_TYPE = "application/json"


def answer(data: object, status: int = 200) -> web.Response:
    """``data``: a dataclass, or what JSON has words for; dataclasses inside lists and tuples are taken too."""
    return web.Response(text=json.dumps(data, default=_plain) + "\n", status=status, content_type=JSON_TYPE)


def accepted(engine: Engine, **more: str | bool | None) -> web.Response:
    """A command was taken; the snapshot named here, or a later one, shows what it does."""
    newest = engine.latest
    return answer({**more, "snapshot": newest.number if newest else 0}, 202)


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
