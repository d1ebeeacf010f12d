"""What goes over the control socket, version 1. Everything that comes in is parsed here, with one clear line if not."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.planning.plan import GenerationRequest

if TYPE_CHECKING:
    from wan_tui.core.planning.plan import Clip

API = "v1"

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo:
    """Who answers. ``instance`` differs for every start; ``config`` is the file that it was started with."""

    api: str
    version: str
    pid: int
    instance: str
    started_at: float
    config: str | None
    auto_started: bool
    metrics: tuple[str, ...] = ()
    clients: int = 0

    @classmethod
    def from_json(cls, text: str | bytes) -> AgentInfo:
        """Raises ``pydantic.ValidationError`` for anything else."""
        return _INFO.validate_json(text)


_INFO = TypeAdapter(AgentInfo)


class JobOrder(BaseModel):
    """A generation as asked for; what is left out is as the deployment's defaults say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    deployment: str
    prompt: str
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    image: str | None = None
    output: str | None = None
    priority: int = 0
    timeout_seconds: float | None = None
    retries: int = 0
    requeue: bool = True
    videos: int = 1

    def request(self, defaults: Clip) -> GenerationRequest:
        """The whole request, gaps filled."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return GenerationRequest(**{**dataclasses.asdict(defaults), **given})


class Move(BaseModel):
    """How many places a waiting job goes down the queue; negative is up."""

    model_config = ConfigDict(extra="forbid", strict=True)

    by: int


def parse(model: type[Model], body: bytes) -> Model:
    """Raises UsageError that names the first thing that is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        rest = "" if error.error_count() == 1 else f" (and {error.error_count() - 1} more)"
        if problem["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            raise UsageError(f"unknown key {key!r}; known: {known}{rest}") from None
        raise UsageError(f"{key + ': ' if key else 'body: '}{problem['msg']}{rest}") from None


def read(kind: Any, body: bytes) -> Any:
    """``body`` as ``kind``: a dataclass, or ``tuple[SomeDataclass, ...]``. Raises ``pydantic.ValidationError``."""
    return _adapter(kind).validate_json(body)


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def error_body(error: WanTuiError) -> dict[str, Any]:
    return {"error": str(error), "exit_status": error.exit_status}


def error_from(body: bytes, status: int) -> WanTuiError:
    """The error that the agent answered with, as the class that it was there."""
    try:
        data = json.loads(body)
        text, exit_status = str(data["error"]), int(data["exit_status"])
    except (ValueError, KeyError, TypeError):
        return WanTuiError(f"the agent answered with status {status} and without an explanation")
    return UsageError(text) if exit_status == UsageError.exit_status else WanTuiError(text)
