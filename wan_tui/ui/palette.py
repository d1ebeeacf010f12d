"""Textual's command palette (ctrl+p) with the same commands as the ``:`` line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from wan_tui.ui import verbs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wan_tui.ui.app import WanTuiApp


class Verbs(Provider):
    """One entry per command, and one per value where the first argument has a few."""

    def _entries(self) -> Iterator[tuple[str, str, bool]]:
        """The line, what it does, and whether it is whole."""
        app = cast("WanTuiApp", self.app)
        for verb in verbs.VERBS:
            values = list(verb.complete(app, []))
            if not verb.usage or verb.usage.startswith("["):
                yield verb.name, verb.about, True
            elif not values:
                yield verb.line.removeprefix(":"), verb.about, False
            for value in values:
                yield f"{verb.name} {value}", verb.about, True

    def _choose(self, line: str, whole: bool) -> None:
        app = cast("WanTuiApp", self.app)
        if whole:
            app.run_line(line)
        else:
            app.run_worker(app.base_screen.open_prompt(":", line.split()[0] + " "), exit_on_error=False)

    async def discover(self) -> Hits:
        for line, about, whole in self._entries():
            yield DiscoveryHit(line, partial(self._choose, line, whole), help=about)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for line, about, whole in self._entries():
            score = max(matcher.match(line), matcher.match(about) / 2)
            if score > 0:
                yield Hit(score, matcher.highlight(line), partial(self._choose, line, whole), help=about)
