"""One job, or one line of the history, with everything that is known about it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from wan_tui.ui import format_job_detail, format_past
from wan_tui.ui.format_jobs import job_name
from wan_tui.ui.screens.base import DetailScreen
from wan_tui.ui.screens.job_keys import JobKeys, RequestKeys
from wan_tui.ui.text import Frame, Role, Row, View, pad, text
from wan_tui.ui.widgets.preview import PreviewView
from wan_tui.ui.widgets.rows import LiveRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from wan_tui.core.planning.plan import GenerationRequest
    from wan_tui.core.runtime.past import PastRun
    from wan_tui.core.runtime.state import Job
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session
    from wan_tui.ui.widgets.rows import Build

WIDE = 120


def stacked(*parts: Build) -> Build:
    """Frames one below the other, all of it scrolling."""

    def build(view: View) -> Frame:
        rows: list[Row] = []
        for part in parts:
            head, below = part(view)
            if rows:
                rows.append(Row(pad((), view.width)))
            rows.extend(Row(line) for line in head)
            rows.extend(below)
        return Frame((), tuple(rows))

    return build


class _Page(RequestKeys, DetailScreen):
    """Text that scrolls, and what both kinds of page can do with a request."""

    mode = "jobs"
    CSS_PATH = "jobs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "again", "again", tooltip="Make it again, with the same seed", id="job.again"),
        Binding("e", "edit", "edit", tooltip="Put the request into the form", id="job.edit"),
        Binding("down,j", "scroll(1)", "down", show=False, tooltip="Further down", id="job.down"),
        Binding("up,k", "scroll(-1)", "up", show=False, tooltip="Further up", id="job.up"),
        Binding("pagedown", "scroll(10)", "page down", show=False, tooltip="Ten lines down", id="job.page_down"),
        Binding("pageup", "scroll(-10)", "page up", show=False, tooltip="Ten lines up", id="job.page_up"),
    ]

    def __init__(self, session: Session, crumb: str) -> None:
        super().__init__(session, crumb)
        self._text = self.rows("job-text")

    def on_resize(self) -> None:
        self.redraw()

    def action_scroll(self, by: int) -> None:
        for rows in self.query(LiveRows):
            rows.scroll_relative(y=by, animate=False)


class JobDetail(JobKeys, _Page):
    """A job of the list, live while it runs; its sidecar once there is one."""

    title_of_keys = "One job"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "play", "view video", tooltip="Play the video here", id="job.play"),
        Binding("y", "copy", "copy path", tooltip="Copy the path of the video", id="job.copy"),
        Binding("K,shift+up", "move(-1)", "sooner", tooltip="Let it run sooner", id="job.sooner"),
        Binding("J,shift+down", "move(1)", "later", tooltip="Let it run later", id="job.later"),
        Binding("d,delete", "remove", "remove", tooltip="Take it off the list; asks first", id="job.remove"),
    ]

    def __init__(self, session: Session, job_id: str, *, mode: str = "jobs") -> None:
        super().__init__(session, job_name(job_id))
        self.mode = mode  # type: ignore[misc]  # of the tab that it was opened from
        self._job_id = job_id
        self._sidecar_rows = self.rows("job-sidecar")
        self._picture = PreviewView(id="job-picture", colour=session.colour, ascii_only=session.ascii_only)
        self._sidecar: str | None = None
        self._problem: str | None = None
        self._asked_for: str | None = None
        self._last: Job | None = None

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal(id="job-page"):
            yield self._text
            with Vertical(id="job-side"):
                yield self._picture
                yield self._sidecar_rows

    def show_snapshot(self, snapshot: Snapshot) -> None:
        job = self._last = snapshot.job(self._job_id) or self._last
        if job is None:
            self._text.show(self._gone)
            return
        self._ask_sidecar(job)
        detail = partial(format_job_detail.job_detail, snapshot, job)
        sidecar = partial(format_job_detail.sidecar, self._sidecar, self._problem)
        wide = self.size.width >= WIDE
        self._text.show(stacked(detail) if wide or job.output is None else stacked(detail, sidecar))
        self._sidecar_rows.show(sidecar)
        self._sidecar_rows.display = job.output is not None
        self._picture.show(None if self.session.options.slow_link else job.preview)
        self._picture.display = self._picture.has_picture and job.output is None

    def _gone(self, view: View) -> Frame:
        return Frame((), (Row(pad(text(f"   {self.crumb} is no longer on the list", Role.DIM), view.width)),))

    def _ask_sidecar(self, job: Job) -> None:
        path = job.output
        if path is None or path == self._asked_for:
            return
        self._asked_for = path
        self.session.ask("sidecar", lambda client: client.sidecar(path), self._arrived, self._failed)

    def _arrived(self, content: str) -> None:
        self._sidecar, self._problem = content, None
        self.redraw()

    def _failed(self, reason: str) -> None:
        self._problem = reason
        self.redraw()

    def selected_job(self) -> Job | None:
        return self.session.snapshot.job(self._job_id) if self.session.snapshot else None

    def selected_request(self) -> GenerationRequest | None:
        return self._last.request if self._last is not None else None


class PastDetail(_Page):
    """A finished load or run, as the history keeps it."""

    title_of_keys = "One line of the history"

    def __init__(self, session: Session, run: PastRun) -> None:
        super().__init__(session, f"{run.kind} {format_past.when(run.ended_at, session.clock())}")
        self._run = run

    def compose_body(self) -> Iterable[Widget]:
        yield self._text

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._text.show(stacked(partial(format_past.past_detail, self._run, snapshot.taken_at)))

    def selected_job(self) -> Job | None:
        return None

    def selected_request(self) -> GenerationRequest | None:
        return self._run.request
