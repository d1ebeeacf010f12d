"""One rule of the rulebook, from anywhere."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wan_tui.ui.format_validation import rule_text
from wan_tui.ui.screens.base import DetailScreen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from wan_tui.core.snapshot import Snapshot
    from wan_tui.core.validation.rulebook.rules import Rule
    from wan_tui.ui.session import Session


class RulePage(DetailScreen):
    """What it looks at, why, and what to do; and what it found here."""

    title_of_keys = "One rule"
    CSS_PATH = "planning.tcss"

    def __init__(self, session: Session, mode: str, entry: Rule) -> None:
        super().__init__(session, entry.code)
        self.mode = mode  # type: ignore[misc]
        self._entry = entry
        self._page = self.rows("rule-page")

    def compose_body(self) -> Iterable[Widget]:
        yield self._page

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._page.show(partial(rule_text, self._entry, snapshot))
