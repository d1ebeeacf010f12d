"""The application: screens, keys that work everywhere, and the life of the feed. No work is done here."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from wan_tui.core.errors import UsageError
from wan_tui.ui.feed import ClientSource, Feed, FeedLost, SnapshotArrived
from wan_tui.ui.glyphs import locale_is_utf8
from wan_tui.ui.screens.base import TABS, BaseScreen
from wan_tui.ui.screens.confirm import Confirm
from wan_tui.ui.screens.help import Help, explained
from wan_tui.ui.screens.overview import OverviewScreen
from wan_tui.ui.session import Session, Trouble
from wan_tui.ui.theme import WAN_ANSI, WAN_DARK
from wan_tui.ui.widgets.choice import Choice
from wan_tui.ui.widgets.rows import SelectableRows

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from textual.screen import Screen

_WIDTHS = [(0, "-narrow"), (76, "-normal"), (120, "-wide")]
_HEIGHTS = [(0, "-short"), (23, "-medium"), (34, "-tall")]


class WanTuiApp(App[None]):
    """``source`` is a client, or a function called after the first frame that makes one.

    ``embedded`` says that the engine lives in this process, so that its jobs end with it.
    """

    TITLE = "wan-tui"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    DEFAULT_MODE = "overview"
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show('overview')", "overview", show=False, tooltip="Devices, deployments and the job to watch"),
        Binding("2", "show('generate')", "generate", show=False, tooltip="The form, the job, the preview"),
        Binding("3", "show('log')", "log", show=False, tooltip="Everything that happened"),
        Binding("g", "generate", "generate", tooltip="Fill in the form for a new job"),
        Binding("r", "retry", "retry now", tooltip="Try to reach the engine now, when it is lost"),
        Binding("question_mark", "help", "help", tooltip="This page"),
        Binding("q", "quit", "quit", tooltip="Quit; asks when a job would end with it"),
        Binding("ctrl+q", "quit", "quit", priority=True, show=False, tooltip="Quit, also from a field"),
    ]

    def __init__(
        self,
        source: ClientSource,
        *,
        embedded: bool = False,
        clock: Callable[[], float] = time.time,
        ascii_only: bool | None = None,
        retry_seconds: float = 1.0,
    ) -> None:
        no_color = "NO_COLOR" in os.environ
        # With ansi_color set from the start, NO_COLOR removes colours instead of turning them grey.
        super().__init__(ansi_color=True if no_color else None)
        self.register_theme(WAN_DARK)
        self.register_theme(WAN_ANSI)
        few_colours = self.console.color_system not in ("256", "truecolor")
        self.theme = WAN_ANSI.name if no_color or few_colours else WAN_DARK.name
        self.animation_level = "none"
        self.feed = Feed(source, self.post_message, first_pause=retry_seconds)
        self.session = Session(
            embedded=embedded,
            clock=clock,
            client=lambda: self.feed.client,
            spawn=self._spawn,
            changed=self._show_chrome,
            colour=not no_color,
            ascii_only=not locale_is_utf8() if ascii_only is None else ascii_only,
        )
        self.set_class(self.session.ascii_only, "-ascii")
        self.add_mode("overview", self._overview_screen)
        self.add_mode("generate", self._generate_screen)
        self.add_mode("log", self._log_screen)

    # -- screens: the first is made at once, the others (and their imports) when they are wanted

    def _overview_screen(self) -> Screen[None]:
        return OverviewScreen(self.session)

    def _generate_screen(self) -> Screen[None]:
        from wan_tui.ui.screens.generate import GenerateScreen

        return GenerateScreen(self.session)

    def _log_screen(self) -> Screen[None]:
        from wan_tui.ui.screens.log import LogScreen

        return LogScreen(self.session)

    def _visible(self) -> BaseScreen | None:
        """The tab in view. None under a dialog: what is dimmed there would be sent whole with every change."""
        screen = self.screen if self.screen_stack else None
        return screen if isinstance(screen, BaseScreen) else None

    def _show_chrome(self) -> None:
        if (screen := self._visible()) is not None:
            screen.show_chrome()

    # -- the feed

    def on_ready(self) -> None:
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self.feed.start)

    def _tick(self) -> None:
        self.session.forget_old_note()
        self._show_chrome()

    def on_snapshot_arrived(self, message: SnapshotArrived) -> None:
        self.session.snapshot = message.snapshot
        self.session.trouble = None
        if (screen := self._visible()) is not None:
            screen.redraw()

    def on_feed_lost(self, message: FeedLost) -> None:
        self.session.trouble = Trouble(message.reason, self.session.clock() + message.retry_seconds)
        if (screen := self._visible()) is not None:
            screen.redraw()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.run_worker(work, exit_on_error=False, group="commands")

    async def on_unmount(self) -> None:
        await self.feed.stop()

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "retry":
            return self.session.trouble is not None
        return super().check_action(action, parameters)

    def action_show(self, mode: str) -> None:
        if not self.screen.is_modal:
            self.switch_mode(mode)

    async def action_generate(self) -> None:
        if self.screen.is_modal:
            return
        selected = self.screen.selected_deployment() if isinstance(self.screen, OverviewScreen) else None
        await self.switch_mode("generate")
        if (screen := self._visible()) is not None:
            screen.open_for(selected)

    def action_retry(self) -> None:
        self.feed.retry_now()
        self.session.say("trying to reach the engine")

    def action_help(self) -> None:
        if isinstance(screen := self.screen, BaseScreen):
            title = next(title for _, title, mode in TABS if mode == screen.mode)
            here = explained(type(screen).BINDINGS) if type(screen).BINDINGS is not BaseScreen.BINDINGS else []
            sections = [
                (title.upper(), here + explained(BaseScreen.BINDINGS)),
                ("EVERYWHERE", explained(self.BINDINGS)),
                ("LISTS AND CHOICES", explained(SelectableRows.BINDINGS) + explained(Choice.BINDINGS)),
                ("QUESTIONS", explained(Confirm.BINDINGS)),
                ("THIS PAGE", explained(Help.BINDINGS)),
            ]
            self.push_screen(Help(sections, self.session))

    async def action_quit(self) -> None:
        jobs = self.session.unfinished_jobs
        if not self.session.embedded or not jobs:
            self._leave()
        elif not isinstance(self.screen, Confirm):
            about = "The engine runs inside this program: what runs or waits goes on when it is started again."
            question = f"Quit with {', '.join(jobs)} unfinished?"
            self.push_screen(Confirm(question, about, self.session), lambda answer: self._leave() if answer else None)

    def _leave(self) -> None:
        if self.session.embedded and self.feed.client is not None:
            self.session.say("stopping the engine")
        self.call_after_refresh(self._stop_and_exit)

    async def _stop_and_exit(self) -> None:
        """Stop while the screen can still say so: an engine takes a moment to end its workers."""
        await self.feed.stop()
        self.exit()


def terminal_problem() -> str | None:
    """Why the screens cannot be drawn here, or None."""
    # Textual draws on stderr, so a redirected stderr would be a program that seems to hang.
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.__stderr__)):
        return "the terminal UI needs a terminal on stdin, stdout and stderr"
    if os.environ.get("TERM", "") in ("", "dumb"):
        return "the terminal UI needs a terminal that can move its cursor (TERM is unset or dumb)"
    return None


def run(client_factory: Callable[[], Any], *, embedded: bool, mouse: bool = False) -> int:
    """Run until the operator quits; the exit status. Raises UsageError where no screen can be drawn."""
    problem = terminal_problem()
    if problem is not None:
        raise UsageError(problem)
    app = WanTuiApp(client_factory, embedded=embedded)
    app.run(mouse=mouse)
    return app.return_code or 0
