"""Runs and completes what is typed after ``:``. The commands themselves are imported when the first is typed."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from wan_tui.core.errors import UsageError
from wan_tui.ui.text import Role

if TYPE_CHECKING:
    from wan_tui.ui.app import WanTuiApp


class CommandLine:
    def __init__(self, app: WanTuiApp) -> None:
        self._app = app

    def run(self, line: str) -> None:
        """Errors are one line in the status line."""
        self._app.run_worker(self._run(line), exit_on_error=False, group="commands")

    async def _run(self, line: str) -> None:
        from wan_tui.ui import verbs

        try:
            result = verbs.execute(self._app, line)
            if inspect.isawaitable(result):
                await result
        except UsageError as error:
            self._app.session.say(str(error), Role.ERROR)

    def complete(self, line: str) -> str:
        from wan_tui.ui import verbs

        lines = verbs.completions(self._app, line)
        if len(lines) == 1:
            return lines[0] + " "
        return verbs.common_beginning(lines) or line

    def hint(self, line: str) -> tuple[str, list[str]]:
        from wan_tui.ui import verbs

        words = [candidate.rpartition(" ")[2] for candidate in verbs.completions(self._app, line)]
        name = line.strip().split(" ")[0]
        try:
            verb = verbs.find(name) if name else None
        except UsageError:
            verb = None
        about = f"{verb.line}  {verb.about}" if verb is not None else "tab completes, enter runs, esc leaves"
        return about, words
