"""Runs the screens: on a terminal, or without one for a picture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.ui.app import WanTuiApp
from wan_tui.ui.screens.registry import TABS
from wan_tui.ui.terminal import terminal_problem
from wan_tui.ui.theme import THEMES

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from wan_tui.ui.options import UiOptions

PATIENCE_SECONDS = 60.0
SETTLE_SECONDS = 1.0


def check(options: UiOptions) -> None:
    """Raises UsageError for a theme or a screen that does not exist."""
    if options.theme is not None and options.theme not in THEMES:
        raise unknown_name("theme", options.theme, THEMES)
    modes = [tab.mode for tab in TABS]
    if options.screen is not None and options.screen not in modes:
        raise unknown_name("screen", options.screen, modes)


def run(client_factory: Callable[[], Any], options: UiOptions, *, embedded: bool) -> int:
    """Run until the operator quits; the exit status. Raises UsageError where no screen can be drawn."""
    problem = terminal_problem()
    if problem is not None:
        raise UsageError(problem)
    check(options)
    app = WanTuiApp(client_factory, embedded=embedded, ascii_only=options.ascii_only, options=options)
    app.run(mouse=options.mouse)
    return app.return_code or 0


def picture(client_factory: Callable[[], Any], options: UiOptions, file: Path, size: tuple[int, int]) -> None:
    """Write one screen as SVG to ``file``, without a terminal. Raises WanTuiError."""
    check(options)
    app = WanTuiApp(client_factory, embedded=True, ascii_only=options.ascii_only or False, options=options)
    drawn: list[str] = []

    async def draw(pilot: Pilot[Any]) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while app.session.snapshot is None:
            if app.session.trouble is not None or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(SETTLE_SECONDS)  # what a screen asks the engine for is there too
        drawn.append(app.export_screenshot(title="wan-tui"))
        await app._stop_and_exit()

    app.run(headless=True, size=size, auto_pilot=draw)
    if app.session.snapshot is None:
        why = app.session.trouble.reason if app.session.trouble else "no snapshot came"
        raise WanTuiError(f"no picture: {why}")
    try:
        file.write_text(drawn[0], encoding="utf-8")
    except OSError as error:
        raise WanTuiError(f"cannot write {file}: {error.strerror}") from None


def size_of(text: str) -> tuple[int, int]:
    """``160x48``. Raises UsageError."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()) or not (20 <= int(width) <= 500 and 5 <= int(height) <= 200):
        raise UsageError(f"--size {text!r}: must be COLUMNSxROWS, such as 160x48, up to 500x200")
    return int(width), int(height)
