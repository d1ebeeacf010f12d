"""What every screen has: head, trouble banner, body, status line, keys; and the commands on deployments and jobs.

A tab derives ``BaseScreen`` and stands in ``registry.TABS``. What Enter opens derives ``DetailScreen`` and is shown
with ``self.app.push_screen``; Esc leaves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen

from wan_tui.core.units import format_seconds
from wan_tui.core.words import JobState
from wan_tui.ui import format_alerts, glyphs
from wan_tui.ui.format import banner, facts, header, key_name
from wan_tui.ui.format_jobs import job_name, job_to_watch, shape
from wan_tui.ui.narrow import NarrowCompositor
from wan_tui.ui.screens.opening import OpenItem
from wan_tui.ui.screens.registry import HOME, TABS, tab_of
from wan_tui.ui.text import Frame, Line, Role, Span, View, join, join_fitting, pad, spread, text, wrap
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows
from wan_tui.ui.widgets.tab_line import TabLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.app import ComposeResult
    from textual.widget import Widget

    from wan_tui.core.runtime.state import Job
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session
    from wan_tui.ui.widgets.prompt_line import PromptLine

STALE_SECONDS = 15.0
_ALWAYS_SHOWN = ("help", "quit")


class BaseScreen(Screen[None], inherit_bindings=True):
    """A tab of the app. Subclasses give ``mode``, ``compose_body`` and ``show_snapshot``."""

    mode: ClassVar[str]
    title_of_keys: ClassVar[str] = ""  # on the page of keys, where it is not that of the tab
    first_keys: ClassVar[tuple[str, ...]] = ()  # actions that the line of keys begins with, where it is short
    widgets_with_keys: ClassVar[tuple[type[Widget], ...]] = ()  # whose bindings belong on the page of keys too
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "load", "load", tooltip="Load the selected deployment", id="deployment.load"),
        Binding(
            "u",
            "unload",
            "unload",
            tooltip="Unload the selected deployment; asks when a job runs",
            id="deployment.unload",
        ),
        Binding("c", "cancel", "cancel", tooltip="Cancel the job; asks first", id="job.cancel"),
        # With priority: what is typed ahead, on a slow line, must go into the prompt and not be keys.
        Binding(
            "slash", "filter", "filter", priority=True, tooltip="Show only rows with the words typed", id="rows.filter"
        ),
        Binding("colon", "command", "command", priority=True, show=False, tooltip="Type a command", id="app.command"),
        Binding("tab", "app.focus_next", "next", show=False, tooltip="Next list or field", id="focus.next"),
        Binding(
            "shift+tab",
            "app.focus_previous",
            "previous",
            show=False,
            tooltip="List or field before",
            id="focus.previous",
        ),
        Binding(
            "escape", "back", "back", tooltip="Leave the field, the filter, then the screen; never quits", id="app.back"
        ),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._compositor = NarrowCompositor()
        # Textual parses every style sheet again for a screen that was never shown; the first one's were just read.
        self._css_update_count = 0
        self.session = session
        self.body = Container(id="body")
        self._composed = False
        self._header = TabLine(id="header", ascii_only=session.ascii_only)
        self._banner = self.rows("banner")
        self._status = self.rows("status")
        self._keys = self.rows("keys")
        self._prompt_line: PromptLine | None = None
        self._filtering: SelectableRows | None = None

    # -- frame

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._banner
        with self.body:
            yield from self.compose_body()
        yield self._status
        yield self._keys

    def rows(self, id: str) -> LiveRows:
        return LiveRows(id=id, ascii_only=self.session.ascii_only)

    def compose_body(self) -> Iterable[Widget]:
        raise NotImplementedError

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the body. Called for every snapshot while this screen is the visible one."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self._composed = True
        self.bindings_updated_signal.subscribe(self, lambda _: self.show_keys())
        for rows in self.query(SelectableRows):
            rows.set_filter(self.session.memory.filters.get(self._filter_key(rows), ""))

    def on_screen_resume(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Draw everything from the session."""
        if not self._composed:
            return
        if self.session.snapshot is not None:
            self.show_snapshot(self.session.snapshot)
        self.show_chrome()
        self.refresh_bindings()

    def show_chrome(self) -> None:
        """Draw what surrounds the body. Cheap: called once a second for the ages in it."""
        if not self._composed:
            return
        self._banner.display = self.session.trouble is not None
        self._banner.show(self._banner_line)
        self._header.show(self._header_line)
        self._status.show(self._status_lines)
        self.show_keys()

    @on(SelectableRows.Moved)
    def _another_row(self) -> None:
        """What the keys do may depend on the row."""
        self.refresh_bindings()

    def show_keys(self) -> None:
        if self._composed and self.is_current:
            self._keys.show(self._keys_line)

    # -- the four lines around the body

    def _header_line(self, view: View) -> Frame:
        tabs = tuple((tab.key, tab.title, tab.short) for tab in TABS)
        age, trouble = self.session.age_seconds, self.session.trouble
        if self.session.snapshot is None:
            right = text("starting" if trouble is None else "no data", Role.WARN)
        elif age is not None and age >= STALE_SECONDS:
            right = text(f"{format_seconds(age)} old", Role.WARN)
        else:
            right = text("embedded" if self.session.embedded else "attached", Role.DIM)
            if firing := format_alerts.count(self.session.snapshot, short=view.width < 100):
                right = join((firing, right)) if view.width >= 100 else firing
        crumbs = [crumb for screen in self.app.screen_stack if (crumb := getattr(screen, "crumb", None))]
        return header(tabs, tab_of(self.mode).key, crumbs, self.session.snapshot, right, view)

    def _banner_line(self, view: View) -> Frame:
        trouble = self.session.trouble
        if trouble is None:
            return Frame()
        wait = max(trouble.retry_at - self.session.clock(), 0)
        return banner(trouble.reason, self.session.age_seconds, wait, view)

    def _status_lines(self, view: View) -> Frame:
        note, snapshot = self.session.note, self.session.snapshot
        lines: list[Line]
        if self._prompt_line is not None and self._prompt_line.display:
            lines = [self._prompt_hint(view.width - 2)]
        elif note is not None:
            mark = {Role.ERROR: glyphs.CROSS, Role.OK: glyphs.TICK}.get(note.role, glyphs.DOT)
            parts = wrap(note.message, view.width - 4, most=3 if note.role is Role.ERROR else 1)
            lines = [text(f"{mark if i == 0 else ' '} {part}", note.role) for i, part in enumerate(parts)]
        elif snapshot is not None:
            lines = [facts(snapshot, view.width - 2)]
        else:
            lines = [text("starting the engine" if self.session.embedded else "waiting for the engine", Role.DIM)]
        return Frame(tuple(pad((Span(" "), *line), view.width) for line in lines))

    def _keys_line(self, view: View) -> Frame:
        shown: dict[str, Line] = {}
        for key, active in self.active_bindings.items():
            binding = active.binding
            if binding.show and active.enabled and binding.action not in shown:
                shown[binding.action] = (Span(key_name(key), Role.STRONG), Span(f" {binding.description}", Role.DIM))
        right = join([shown.pop(action) for action in _ALWAYS_SHOWN if action in shown])
        left: Line = ()
        first = [shown.pop(action) for action in self.first_keys if action in shown]
        for part in (*first, *shown.values()):
            longer = join((left, part))
            if sum(len(span.text) for span in (*longer, *right)) + 4 > view.width:
                break
            left = longer
        return Frame((spread(left, right, view.width),))

    # -- other screens

    def open_in(self, mode: str, key: str) -> None:
        """Go to one thing of another tab: a GPU's UUID, a deployment, a job."""
        self.post_message(OpenItem(mode, key))

    def open_item(self, key: str) -> None:
        """Someone came here for ``key``: show it as Enter on its row would."""

    # -- commands

    def selected_deployment(self) -> str | None:
        """The deployment that ``l`` and ``u`` mean here."""
        return None

    def open_for(self, deployment: str | None) -> None:
        """The reader comes from a list with ``deployment`` selected, to do something with it."""

    def selected_job(self) -> Job | None:
        """The job that ``c`` means here."""
        return job_to_watch(self.session.snapshot) if self.session.snapshot else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("load", "unload"):
            return self.selected_deployment() is not None
        if action == "cancel":
            job = self.selected_job()
            return job is not None and not job.state.ended
        if action == "command":
            return not self._types_text()
        if action == "filter":
            return not self._types_text() and self._filterable() is not None
        if action == "back":
            return self._in_field() or self._filtered() is not None or self.mode != HOME
        return True

    def action_load(self) -> None:
        if (name := self.selected_deployment()) is not None:
            self.session.load(name)

    def action_unload(self) -> None:
        if (name := self.selected_deployment()) is not None:
            self.ask_unload(name)

    def ask_unload(self, name: str) -> None:
        """Unload, after a question when that ends a job."""
        deployment = self.session.snapshot.deployment(name) if self.session.snapshot else None
        job = job_name(deployment.running_job) if deployment and deployment.running_job else None
        if job is None:
            self.session.unload(name)
            return
        question = f"Unload {name} while {job} runs?"
        self.confirm(
            question, f"{job} ends as cancelled. Its memory is free after that.", lambda: self.session.unload(name)
        )

    def action_cancel(self) -> None:
        job = self.selected_job()
        if job is not None and not job.state.ended:
            self.ask_cancel(job)

    def ask_cancel(self, job: Job) -> None:
        """Cancel, after a question."""
        about = f"{job.request.deployment} {shape(job)}"
        if job.state is JobState.RUNNING:
            about += f", step {job.step} of {job.request.steps}. It stops after the current step."
        else:
            about += ", still queued."
        self.confirm(f"Cancel {job_name(job.id)}?", about, lambda: self.session.cancel(job.id))

    def confirm(self, question: str, about: str, yes: Callable[[], None]) -> None:
        """Ask before something that cannot be taken back: ``question`` names it, ``about`` says what it ends."""
        from wan_tui.ui.screens.confirm import Confirm  # with its buttons, which the first frame does not wait for

        self.app.push_screen(Confirm(question, about, self.session), lambda answer: yes() if answer else None)

    def action_back(self) -> None:
        """One level up: out of a field, a filter, then to the first screen. Never out of the app."""
        if self._in_field():
            self.set_focus(self.home())
        elif (rows := self._filtered()) is not None:
            self._set_filter(rows, "")
        else:
            self.leave()

    def leave(self) -> None:
        """Where Esc leads when there is nothing to leave inside the screen."""
        if self.mode != HOME:
            self.app.switch_mode(HOME)

    def _in_field(self) -> bool:
        return self.focused is not None and not isinstance(self.focused, LiveRows)

    def _types_text(self) -> bool:
        """Whether a letter is text where the focus is."""
        return self.focused is not None and self.focused.check_consume_key("a", "a")

    # -- the line for commands and filters

    async def action_command(self) -> None:
        await self.open_prompt(":")

    async def action_filter(self) -> None:
        self._filtering = self._filterable()
        if self._filtering is not None:
            await self.open_prompt("/", self._filtering.filter_text)

    def apply_filter(self, text: str) -> None:
        """As ``/`` would; for lists only."""
        if (rows := self._filterable()) is not None:
            self._set_filter(rows, text)

    async def open_prompt(self, mark: str, text: str = "") -> None:
        """When it returns, keys go into the line."""
        from wan_tui.ui.widgets.prompt_line import PromptLine

        if self._prompt_line is None:
            self._prompt_line = PromptLine(history=self.session.memory.commands)
            await self.mount(self._prompt_line, before=self._keys)
        self._keys.display = False
        self._prompt_line.open(mark, text)
        self.show_chrome()

    def _close_prompt(self) -> None:
        if self._prompt_line is not None:
            self._prompt_line.close()
            self._keys.display = True
            self.set_focus(self._filtering or self.home())
            self._filtering = None
            self.show_chrome()

    def _prompt_hint(self, width: int) -> Line:
        """While a command is typed: what it may become, and what it does."""
        assert self._prompt_line is not None
        if self._prompt_line.mark == "/":
            return text("words that a row must have; !word must not be there; enter keeps, esc shows all", Role.DIM)
        hint, candidates = self.session.commands.hint(self._prompt_line.text)
        names = join_fitting([text(word) for word in candidates], max(width - len(hint) - 2, 0))
        return join_fitting((names, text(hint, Role.DIM)), width)

    def on_prompt_line_changed(self, message: PromptLine.Changed) -> None:
        if message.line.mark == "/" and self._filtering is not None:
            self._set_filter(self._filtering, message.line.text)
        self.show_chrome()

    def on_prompt_line_submitted(self, message: PromptLine.Submitted) -> None:
        mark, line = message.line.mark, message.line.text.strip()
        self._close_prompt()
        if mark == ":" and line:
            self.session.memory.add_command(line)
            self.session.commands.run(line)

    def on_prompt_line_cancelled(self, message: PromptLine.Cancelled) -> None:
        if message.line.mark == "/" and self._filtering is not None:
            self._set_filter(self._filtering, "")
        self._close_prompt()

    def on_prompt_line_completion_asked(self, message: PromptLine.CompletionAsked) -> None:
        if message.line.mark == ":":
            message.line.set_text(self.session.commands.complete(message.line.text))

    def _filterable(self) -> SelectableRows | None:
        """The list that ``/`` means: the one in focus, else the one the screen is about."""
        rows = self.focused if isinstance(self.focused, SelectableRows) else self.home()
        return rows if isinstance(rows, SelectableRows) else None

    def _filtered(self) -> SelectableRows | None:
        rows = self._filterable()
        return rows if rows is not None and rows.filter_text else None

    def _set_filter(self, rows: SelectableRows, text: str) -> None:
        rows.set_filter(text)
        self.session.memory.set_filter(self._filter_key(rows), text)
        self.refresh_bindings()

    def _filter_key(self, rows: SelectableRows) -> str:
        return f"{self.mode}.{rows.id}"

    def home(self) -> Widget | None:
        """The list that has the focus when nothing else has."""
        return None


class DetailScreen(BaseScreen):
    """One thing of a tab, opened with Enter. ``mode`` is that of the tab, ``crumb`` the name of the thing."""

    def __init__(self, session: Session, crumb: str) -> None:
        super().__init__(session)
        self.crumb = crumb

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return True if action == "back" else super().check_action(action, parameters)

    def leave(self) -> None:
        self.app.pop_screen()
