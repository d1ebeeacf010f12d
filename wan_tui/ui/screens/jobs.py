"""The queue and what ended, the history, and how good the estimates were."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from wan_tui.core.errors import UsageError
from wan_tui.core.runtime.past import PastFilter, parse_filter
from wan_tui.ui import format_jobs, format_past, glyphs
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.screens.job_keys import JobKeys, RequestKeys
from wan_tui.ui.text import Frame, Line, Role, View, join, text
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from wan_tui.core.planning.plan import GenerationRequest
    from wan_tui.core.runtime.past import PastPage, PastRun
    from wan_tui.core.runtime.state import Job
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

PAGE = 200
WIDE = 120
# What an engine writes about a job that just ended is on disk a moment later.
_SETTLE_SECONDS = 0.4
_TYPING_SECONDS = 0.25
# After a failure: the agent may be back, the file no longer locked.
_RETRY_SECONDS = 5.0


class PastRows(SelectableRows):
    """Filtered by the engine, which knows more of them than are shown here."""

    class Narrowed(Message):
        """Other words are asked for."""

    def set_filter(self, text: str) -> None:
        if text != self.filter_text:
            self.filter_text = text
            self.post_message(self.Narrowed())

    def _built(self, view: View) -> Frame:
        return LiveRows._built(self, view)


class JobsScreen(JobKeys, RequestKeys, BaseScreen):
    """Two lists; with room (or with ``t``) the plots of what the second one holds."""

    mode = "jobs"
    CSS_PATH = "jobs.tcss"
    AUTO_FOCUS = "#queue"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "play", "view video", tooltip="Play the video of the selected job here", id="jobs.play"),
        Binding("R", "again", "again", tooltip="Make the selected one again, with the same seed", id="jobs.again"),
        Binding("e", "edit", "edit", tooltip="Put the selected request into the form", id="jobs.edit"),
        Binding("K,shift+up", "move(-1)", "sooner", tooltip="Let the waiting job run sooner", id="jobs.sooner"),
        Binding("J,shift+down", "move(1)", "later", tooltip="Let the waiting job run later", id="jobs.later"),
        Binding("d,delete", "remove", "remove", tooltip="Take the job off the list; asks first", id="jobs.remove"),
        Binding("y", "copy", "copy path", tooltip="Copy the path of the video", id="jobs.copy"),
        Binding(
            "t", "plots", "plots", tooltip="Plots in the place of the lists, where both do not fit", id="jobs.plots"
        ),
        Binding("x", "export", "export", tooltip="Write the history to a CSV or JSON file", id="jobs.export"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        ascii_only = session.ascii_only
        self._queue = SelectableRows(id="queue", ascii_only=ascii_only, follow_first=True, opens=True)
        self._past = PastRows(id="past", ascii_only=ascii_only, follow_first=True, opens=True)
        self._scatter = self.rows("scatter")
        self._trend = self.rows("trend")
        self._runs: tuple[PastRun, ...] = ()
        self._matching = 0
        self._more: str | None = None
        self._problem: str | None = None
        self._asked = False
        self._ended: tuple[float, int] | None = None
        self._fetching_more = False
        self._lost = False
        self._retry_at = 0.0

    def compose_body(self) -> Iterable[Widget]:
        with Vertical(id="lists-of-jobs"):
            yield self._queue
            yield self._past
        with Vertical(id="plots"):
            yield self._scatter
            yield self._trend

    # -- drawing

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._queue.show(partial(format_jobs.job_list, snapshot))
        self._follow(snapshot)
        self._show_past()

    def _show_past(self) -> None:
        now = self.session.snapshot.taken_at if self.session.snapshot else self.session.clock()
        self._past.show(partial(format_past.past_list, self._runs, self._matching, self._state(), now))
        chosen = self.selected_run()
        ascii_only = self.session.ascii_only
        self._scatter.show(partial(format_past.scatter, self._runs, chosen.uid if chosen else None, ascii_only))
        self._trend.show(partial(format_past.trend, self._runs, chosen, ascii_only))

    def _state(self) -> Line:
        """Beside the title: what narrows it, and what is wrong."""
        parts: list[Line] = []
        if self._past.filter_text:
            parts.append(text(f"/ {self._past.filter_text}", Role.STRONG))
        if self._problem is not None:
            parts.append(text(f"{glyphs.CROSS} {self._problem}", Role.ERROR))
        elif not self._asked:
            parts.append(text("reading", Role.DIM))
        return join(parts)

    def on_resize(self) -> None:
        self.redraw()

    # -- the history

    def _follow(self, snapshot: Snapshot) -> None:
        """Read it again when something finished since."""
        finished = sum(one.totals.jobs_finished + one.totals.loads for one in snapshot.deployments)
        ended = (snapshot.started_at, finished)
        if ended == self._ended:
            if self._lost and self.session.clock() >= self._retry_at:
                self._fetch()
            return
        first, self._ended = self._ended is None, ended
        if first:
            self._fetch()
        else:
            self.set_timer(_SETTLE_SECONDS, self._fetch)

    def chosen_filter(self) -> PastFilter:
        """Raises UsageError for words that mean nothing."""
        return parse_filter(self._past.filter_text, self.session.clock())

    def _fetch(self) -> None:
        self._retry_at = self.session.clock() + _RETRY_SECONDS
        try:
            chosen = self.chosen_filter()
        except UsageError as error:
            self._failed(str(error))
            self._lost = False
            return
        self.session.ask("history", lambda client: client.past(chosen, None, PAGE), self._arrived, self._failed)

    def _arrived(self, page: PastPage) -> None:
        self._asked, self._problem, self._lost = True, None, False
        new = {run.uid for run in page.runs}
        if any(run.uid in new for run in self._runs):  # what was read further down stays
            self._runs = (*page.runs, *(run for run in self._runs if run.uid not in new))
        else:
            self._runs, self._more = page.runs, page.more
        self._matching = page.matching
        self._show_past()
        self.refresh_bindings()

    def _failed(self, reason: str) -> None:
        self._asked, self._problem, self._lost = True, reason, True
        self._show_past()

    def _fetch_more(self) -> None:
        before, words = self._more, self._past.filter_text
        if before is None or self._fetching_more:
            return
        self._fetching_more = True
        chosen = self.chosen_filter()

        def arrived(page: PastPage) -> None:
            self._fetching_more = False
            if words == self._past.filter_text:
                known = {run.uid for run in self._runs}
                self._runs = (*self._runs, *(run for run in page.runs if run.uid not in known))
                self._matching, self._more = page.matching, page.more
                self._show_past()

        def failed(reason: str) -> None:
            self._fetching_more = False
            self._failed(reason)

        self.session.ask("more history", lambda client: client.past(chosen, before, PAGE), arrived, failed)

    @on(PastRows.Narrowed)
    def _narrow(self) -> None:
        self.set_timer(_TYPING_SECONDS, partial(self._fetch_for, self._past.filter_text))

    def _fetch_for(self, words: str) -> None:
        if words == self._past.filter_text:  # nothing more was typed meanwhile
            self._runs, self._more, self._asked = (), None, False
            self._fetch()

    # -- what is selected

    def home(self) -> LiveRows:
        return self._queue

    @property
    def _in_past(self) -> bool:
        return self.focused is self._past

    def selected_job(self) -> Job | None:
        snapshot = self.session.snapshot
        if snapshot is None or self._in_past or self._queue.cursor is None:
            return None
        return snapshot.job(self._queue.cursor)

    def selected_run(self) -> PastRun | None:
        return next((run for run in self._runs if run.uid == self._past.cursor), None)

    def selected_request(self) -> GenerationRequest | None:
        if self._in_past:
            run = self.selected_run()
            return run.request if run is not None else None
        job = self.selected_job()
        return job.request if job is not None else None

    @on(SelectableRows.Moved)
    def _moved(self, message: SelectableRows.Moved) -> None:
        if message.rows is self._past:
            if self._past.keys[-1:] == [self._past.cursor]:
                self._fetch_more()
            self._show_past()
        self.refresh_bindings()

    def on_descendant_focus(self) -> None:
        self.refresh_bindings()

    @on(SelectableRows.Opened)
    def _opened(self, message: SelectableRows.Opened) -> None:
        from wan_tui.ui.screens.job_detail import JobDetail, PastDetail

        if message.rows is self._queue:
            self.app.push_screen(JobDetail(self.session, message.key))
        elif (run := self.selected_run()) is not None:
            self.app.push_screen(PastDetail(self.session, run))

    # -- commands

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "plots":
            return self.size.width < WIDE
        return super().check_action(action, parameters)

    def action_plots(self) -> None:
        self.toggle_class("-plots")
        self.call_after_refresh(self._show_past)

    def action_export(self) -> None:
        from wan_tui.ui.screens.export import Export

        try:
            chosen = self.chosen_filter()
        except UsageError as error:
            self.session.say(str(error), Role.ERROR)
            return
        self.app.push_screen(Export(chosen, self._matching, self.session))
