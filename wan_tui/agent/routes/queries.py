"""What stands behind the ``?`` of a request, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.core.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from aiohttp import web


def only(request: web.Request, *names: str) -> None:
    """Raises UsageError for a name that is not one of ``names``."""
    for name in request.query:
        if name not in names:
            raise unknown_name("parameter", name, names)


def needed(request: web.Request, name: str) -> str:
    """Raises UsageError where it is missing."""
    if not request.query.get(name):
        raise UsageError(f"{name}: missing; say it as ?{name}=…")
    return request.query[name]


def whole(request: web.Request, name: str, default: int, *, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``. Raises UsageError for anything else."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= high):
        raise UsageError(f"{name} {text!r}: must be a whole number from {low} to {high}")
    return int(text[:9])
