"""What happened and what was said: events, the agent's log, what each worker wrote."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from wan_tui.ui import format_logs
from wan_tui.ui.format_logs import EVENTS, LEVELS, Entry
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.text import Frame, Line, Role, Span, View, join, pad, text
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from wan_tui.core.logs import LogLine, LogPage
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

LINES_KEPT = 2000
ASK_SECONDS = 1.0


class LogScreen(BaseScreen):
    """One source at a time, the newest line first. The cursor on the first line follows the news."""

    mode = "log"
    CSS_PATH = "log.tcss"
    AUTO_FOCUS = "#log"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "source(1)", "source", tooltip="The next source: events, agent, workers", id="log.source"),
        Binding("S", "source(-1)", "source before", show=False, tooltip="The source before", id="log.source_before"),
        Binding("v", "level", "level", tooltip="All lines, warnings and errors, or errors", id="log.level"),
        Binding("f", "follow", "follow", tooltip="Go to the newest line and stay with it", id="log.follow"),
        Binding("w", "save", "write to a file", tooltip="Write what is shown to a file", id="log.save"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._choices = self.rows("log-choices")
        self._lines = SelectableRows(id="log", ascii_only=session.ascii_only, follow_first=True)
        self._source = EVENTS
        self._level = LEVELS[0]
        self._sources: tuple[str, ...] = (EVENTS, "agent")
        self._said: dict[str, list[LogLine]] = {}
        self._dropped: dict[str, int] = {}
        self._asked_at = 0.0

    def compose_body(self) -> Iterable[Widget]:
        yield self._choices
        yield self._lines

    def show_snapshot(self, snapshot: Snapshot) -> None:
        if abs(self.session.clock() - self._asked_at) >= ASK_SECONDS:
            self._ask()
        self._choices.show(self._choice_line)
        self._lines.show(partial(format_logs.rows, self.entries(snapshot), self._info(snapshot)))

    def entries(self, snapshot: Snapshot) -> list[Entry]:
        """What is shown, before the filter."""
        if self._source == EVENTS:
            found = format_logs.of_events(snapshot)
        else:
            found = format_logs.of_lines(self._said.get(self._source, ()))
        return format_logs.at_least(found, self._level)

    def _info(self, snapshot: Snapshot) -> str:
        events = self._source == EVENTS
        dropped = snapshot.log.dropped if events else self._dropped.get(self._source, 0)
        many = len(snapshot.log.events) if events else len(self._said.get(self._source, ()))
        noun = "event" if events else "line"
        return f"{many} {noun}{'' if many == 1 else 's'}" + (f", {dropped} older ones dropped" if dropped else "")

    def _choice_line(self, view: View) -> Frame:
        sources: list[Line] = [(Span(" source", Role.DIM),)]
        for name in self._sources:
            sources.append((Span(f" {name} ", Role.TAB if name == self._source else Role.DIM),))
        levels: list[Line] = [(Span("  level", Role.DIM),)]
        levels += [(Span(f" {name} ", Role.TAB if name == self._level else Role.DIM),) for name in LEVELS]
        follow = text("  following" if self._lines.follows else "", Role.ACCENT)
        return Frame((pad(join([join(sources, " "), join(levels, " "), follow]), view.width),))

    # -- what processes said

    def _ask(self) -> None:
        """The news of the chosen source; of the agent where that is not one, for the names of the sources."""
        self._asked_at = self.session.clock()
        source = "agent" if self._source == EVENTS else self._source
        known = self._said.get(source, [])
        after = known[-1].number if known else 0
        self.session.ask(f"log {source}", lambda client: client.logs(source, after), self._learn, self._not_told)

    def _learn(self, page: LogPage) -> None:
        known = self._said.setdefault(page.source, [])
        if page.lines and known and page.lines[0].number <= known[-1].number:
            known.clear()  # another agent, whose lines are numbered anew
        known.extend(page.lines)
        del known[:-LINES_KEPT]
        self._dropped[page.source] = page.dropped
        sources = (EVENTS, *page.sources)
        if page.lines or sources != self._sources:
            self._sources = sources
            self._show_again()

    def _not_told(self, reason: str) -> None:
        if self._source not in (EVENTS, "agent"):
            self.session.say(f"{self._source}: {reason}", Role.ERROR)
            self._source = EVENTS
            self._show_again()

    def _show_again(self) -> None:
        snapshot = self.session.snapshot
        if snapshot is not None and self.is_current:
            self.show_snapshot(snapshot)

    def on_selectable_rows_moved(self, message: SelectableRows.Moved) -> None:
        self._choices.show(self._choice_line)

    # -- keys

    def action_source(self, by: int) -> None:
        at = self._sources.index(self._source) if self._source in self._sources else 0
        self.choose_source(self._sources[(at + by) % len(self._sources)])

    def choose_source(self, source: str) -> None:
        """``events``, ``agent`` or ``worker NAME``."""
        self._source = source
        self._asked_at = 0.0
        self.action_follow()
        self._show_again()

    def open_item(self, key: str) -> None:
        self.choose_source(key)

    def action_level(self) -> None:
        self._level = LEVELS[(LEVELS.index(self._level) + 1) % len(LEVELS)]
        self._show_again()

    def action_follow(self) -> None:
        self._lines.action_end(-1)
        self._show_again()

    def action_save(self) -> None:
        self.save(None)

    def save(self, path: Path | None) -> None:
        """Write what passes level and filter to ``path``, else to a new file in the working directory."""
        snapshot = self.session.snapshot
        if snapshot is None:
            return
        shown = set(self._lines.keys)
        entries = [entry for entry in self.entries(snapshot) if entry.key in shown]
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(self.session.clock()))
        name = self._source.replace(" ", "-").replace("/", "-")
        target = path or Path.cwd() / f"wan-tui-{name}-{stamp}.log"
        try:
            with target.expanduser().open("x", encoding="utf-8") as file:
                file.write(format_logs.as_text(entries))
        except OSError as error:
            self.session.say(f"cannot write {target}: {error.strerror}", Role.ERROR)
        else:
            self.session.say(f"{len(entries)} lines written to {target}", Role.OK)

    def home(self) -> LiveRows:
        return self._lines
