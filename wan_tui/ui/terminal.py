"""Whether there is a terminal to draw on, and whether it is still there."""

from __future__ import annotations

import os
import sys
import termios

WEB_DRIVER = "TEXTUAL_DRIVER"
"""Set by textual-serve: then a browser is the terminal."""


def terminal_problem() -> str | None:
    """Why the screens cannot be drawn here, or None."""
    if os.environ.get(WEB_DRIVER):
        return None
    # Textual draws on stderr, so a redirected stderr would be a program that seems to hang.
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.__stderr__)):
        return "the terminal UI needs a terminal on stdin, stdout and stderr"
    if os.environ.get("TERM", "") in ("", "dumb"):
        return "the terminal UI needs a terminal that can move its cursor (TERM is unset or dumb)"
    return None


def terminal_is_gone() -> bool:
    """Whether the other end of the terminal is closed: reading from it would return at once, for ever."""
    try:
        termios.tcgetattr(sys.__stdin__ if sys.__stdin__ is not None else 0)
    except (termios.error, ValueError, OSError):
        return True
    return False


def terminal_size() -> tuple[int, int] | None:
    """Columns and rows of the terminal on stdout now; None when it does not tell."""
    try:
        columns, rows = os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1)
    except (OSError, ValueError):
        return None
    return (columns, rows) if columns > 0 and rows > 0 else None
