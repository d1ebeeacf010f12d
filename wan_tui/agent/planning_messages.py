"""What-if questions and their answers over the control socket."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, TypeAdapter, ValidationError

from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.planning.questions import MAX_QUESTIONS, Assessment, Question

if TYPE_CHECKING:
    from collections.abc import Sequence


@functools.cache
def _questions() -> TypeAdapter[list[Question]]:
    return TypeAdapter(Annotated[list[Question], Field(max_length=MAX_QUESTIONS)])


@functools.cache
def _assessments() -> TypeAdapter[tuple[Assessment, ...]]:
    return TypeAdapter(tuple[Assessment, ...])


def questions_from(body: bytes) -> list[Question]:
    """A list of questions, or one of them alone. Raises UsageError that names the first thing that is wrong."""
    known = {field.name for field in dataclasses.fields(Question)}
    try:
        data = json.loads(body)
    except ValueError as error:
        raise UsageError(f"body: Invalid JSON: {error}") from None
    given = data if isinstance(data, list) else [data]
    for number, entry in enumerate(given):
        unknown = [key for key in entry if key not in known] if isinstance(entry, dict) else []
        if unknown:
            raise UsageError(f"{number}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    try:
        return _questions().validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UsageError(f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}") from None


def assessments_as(found: Sequence[Assessment]) -> bytes:
    return json.dumps([dataclasses.asdict(one) for one in found], ensure_ascii=False).encode()


def assessments_from(body: bytes) -> tuple[Assessment, ...]:
    """Raises WanTuiError for what is no answer."""
    try:
        return _assessments().validate_json(body)
    except ValidationError:
        raise WanTuiError("the agent answered with something that this wan-tui cannot read: restart it") from None
