"""Everything that happened, in full."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wan_tui.ui import format_jobs
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session


class LogScreen(BaseScreen):
    """The events, newest first; the cursor stays on its event while new ones come in."""

    mode = "log"
    CSS_PATH = "log.tcss"
    AUTO_FOCUS = "#log"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._lines = SelectableRows(id="log", ascii_only=session.ascii_only, follow_first=True)

    def compose_body(self) -> Iterable[Widget]:
        yield self._lines

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._lines.show(partial(format_jobs.log, snapshot))

    def home(self) -> LiveRows:
        return self._lines
