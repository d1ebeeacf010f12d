"""The application: screens, keys that work everywhere, and the life of the feed. No work is done here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.geometry import Size

from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.ui.command_line import CommandLine
from wan_tui.ui.feed import ClientSource, Feed, FeedLost, SnapshotArrived
from wan_tui.ui.glyphs import locale_is_utf8
from wan_tui.ui.memory import Memory, recall
from wan_tui.ui.options import UiOptions
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.screens.opening import OpenItem
from wan_tui.ui.screens.registry import HOME, TABS
from wan_tui.ui.session import Session, Trouble
from wan_tui.ui.terminal import terminal_is_gone, terminal_size
from wan_tui.ui.theme import THEMES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from textual.command import Provider
    from textual.theme import Theme

COURSES_ASKED = 16  # for the small courses of the overview; more are asked when they are looked at
_WIDTHS = [(0, "-narrow"), (76, "-normal"), (120, "-wide")]
_HEIGHTS = [(0, "-short"), (23, "-medium"), (34, "-tall")]


def _palette() -> type[Provider]:
    from wan_tui.ui.palette import Verbs

    return Verbs


class WanTuiApp(App[None]):
    """``source`` is a client, or a function called after the first frame that makes one.

    ``embedded`` says that the engine lives in this process, so that its jobs end with it.
    """

    TITLE = "wan-tui"
    CSS_PATH: ClassVar[Any] = ["app.tcss", "screens/overview.tcss"]  # with the first screen's: read once, parsed once
    COMMANDS: ClassVar[set[Any]] = {_palette}
    DEFAULT_MODE = HOME
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(tab.key, f"show('{tab.mode}')", tab.title, show=False, tooltip=tab.about, id=f"show.{tab.mode}")
            for tab in TABS
        ),
        Binding("g", "generate", "generate", tooltip="Fill in the form for a new job", id="job.new"),
        Binding("r", "retry", "retry now", tooltip="Try to reach the engine now, when it is lost", id="app.retry"),
        Binding("question_mark", "help", "help", tooltip="This page", id="app.help"),
        Binding("ctrl+p", "command_palette", "palette", show=False, tooltip="All commands", id="app.palette"),
        Binding("ctrl+l", "redraw", "redraw", show=False, tooltip="Draw the whole screen again", id="app.redraw"),
        Binding("q", "quit", "quit", tooltip="Quit; asks when a job would end with it", id="app.quit"),
        Binding(
            "ctrl+q", "quit", "quit", priority=True, show=False, tooltip="Quit, also from a field", id="app.quit_now"
        ),
    ]

    def __init__(
        self,
        source: ClientSource,
        *,
        embedded: bool = False,
        clock: Callable[[], float] = time.time,
        ascii_only: bool | None = None,
        retry_seconds: float = 1.0,
        options: UiOptions | None = None,
    ) -> None:
        no_color = "NO_COLOR" in os.environ
        # With ansi_color set from the start, NO_COLOR removes colours instead of turning them grey.
        super().__init__(ansi_color=True if no_color else None)
        self.options = options or UiOptions()
        memory = recall(self.options.state) if self.options.state else Memory()
        for theme in THEMES.values():
            self.register_theme(theme)
        self._own_colours_only = no_color or self.console.color_system not in ("256", "truecolor")
        wanted = THEMES.get(self.options.theme or memory.theme or "", THEMES["dark"])
        self._begin_with(THEMES["ansi"] if self._own_colours_only else wanted)
        self.animation_level = "none"
        self.feed = Feed(source, self.post_message, first_pause=retry_seconds, pause_seconds=self.options.pause_seconds)
        self.session = Session(
            embedded=embedded,
            clock=clock,
            client=lambda: self.feed.client,
            spawn=self._spawn,
            changed=self._show_chrome,
            colour=not no_color,
            ascii_only=not locale_is_utf8() if ascii_only is None else ascii_only,
            commands=CommandLine(self),
            memory=memory,
            options=self.options,
        )
        self.set_class(self.session.ascii_only, "-ascii")
        for tab in TABS:
            # Made (and imported) when it is wanted; the first at once.
            self.add_mode(tab.mode, partial(tab.make, self.session))
        if self.options.keys:
            from wan_tui.ui.keymap import check

            check(self.options.keys, type(self))
            self.set_keymap(self.options.keys)

    def _begin_with(self, theme: Theme) -> None:
        """Set the first theme. The usual one before the style sheets are read, which are parsed again otherwise."""
        if theme is THEMES["dark"]:
            self.set_reactive(App.theme, theme.name)
            self.add_class(f"-theme-{theme.name}")
            self.stylesheet.set_variables(self.get_css_variables())
        else:
            self.theme = theme.name

    def _visible(self) -> BaseScreen | None:
        """The tab in view. None under a dialog: what is dimmed there would be sent whole with every change."""
        screen = self.screen if self.screen_stack else None
        return screen if isinstance(screen, BaseScreen) else None

    def _redraw(self) -> None:
        if (screen := self._visible()) is not None:
            screen.redraw()

    def _show_chrome(self) -> None:
        if (screen := self._visible()) is not None:
            screen.show_chrome()

    # -- the feed

    async def on_ready(self) -> None:
        first = self.options.screen or self.session.memory.screen or HOME
        if first != HOME and first in [tab.mode for tab in TABS]:
            await self.switch_mode(first)
        self.set_interval(1.0, self._tick)
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # only a main thread has signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)
        self.call_after_refresh(self.feed.start)

    def _tick(self) -> None:
        if not self.is_headless and not self.is_web and terminal_is_gone():
            self._hang_up()
        self._mind_size()
        self.session.forget_old_note()
        self._show_chrome()

    def _mind_size(self) -> None:
        """Take up a size that no signal told, or that could not be read when it did (Textual then takes 80x24)."""
        size = None if self.is_headless or self.is_web else terminal_size()
        if size is not None and size != self.size:
            self.post_message(events.Resize(Size(*size), Size(*size)))

    def on_snapshot_arrived(self, message: SnapshotArrived) -> None:
        first = self.session.snapshot is None
        self.session.take(message.snapshot)
        if first:
            for gpu in message.snapshot.gpus[:COURSES_ASKED]:
                self.session.ask_course(gpu.uuid, self._redraw)
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

    @property
    def base_screen(self) -> BaseScreen:
        """The screen in view or under the dialog in view."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, BaseScreen))

    def action_show(self, mode: str) -> None:
        """The tab as it was left; its key a second time leads to its beginning."""
        if self.screen.is_modal:
            return
        if mode == self.current_mode:
            while len(self.screen_stack) > 1:
                self.pop_screen()
        else:
            self.switch_mode(mode)

    def action_key_of_tab(self, key: str) -> None:
        for tab in TABS:
            if tab.key == key:
                self.action_show(tab.mode)

    async def action_generate(self) -> None:
        if not self.screen.is_modal:
            await self.generate_with(self.base_screen.selected_deployment())

    async def generate_with(self, deployment: str | None) -> None:
        """Open the form, for ``deployment`` if one is given."""
        await self.switch_mode("generate")
        self.base_screen.open_for(deployment)

    async def on_open_item(self, message: OpenItem) -> None:
        """A tab that is not there yet is no reason to do anything."""
        if message.mode in (tab.mode for tab in TABS):
            await self.switch_mode(message.mode)
            while len(self.screen_stack) > 1:
                await self.pop_screen()
            self.base_screen.open_item(message.key)

    def action_redraw(self) -> None:
        self.refresh(layout=True)
        self.screen.refresh(layout=True)

    def run_line(self, line: str) -> None:
        """What was typed after ``:`` or chosen from the palette."""
        self.session.commands.run(line)

    def choose_refresh(self, seconds: float, *, slow: bool) -> None:
        """The least time between two pictures; ``slow`` also leaves previews out."""
        self.options = self.session.options = replace(self.options, refresh_seconds=seconds, slow_link=slow)
        self.feed.pause_seconds = self.options.pause_seconds
        self.base_screen.redraw()

    def choose_theme(self, name: str) -> None:
        """Raises UsageError for a name that is none, or where the terminal has no such colours."""
        if name not in THEMES:
            raise unknown_name("theme", name, THEMES)
        if self._own_colours_only and name != "ansi":
            raise UsageError(f"theme {name}: this terminal has 16 colours, or NO_COLOR is set; only ansi works here")
        self.theme = THEMES[name].name
        self.session.memory.theme = name
        self.base_screen.redraw()

    def action_retry(self) -> None:
        self.feed.retry_now()
        self.session.say("trying to reach the engine")

    def action_help(self) -> None:
        if isinstance(screen := self.screen, BaseScreen):
            from wan_tui.ui.keys import sections
            from wan_tui.ui.screens.help import Help

            self.push_screen(Help(sections(type(screen), type(self)), self.session))

    async def action_quit(self) -> None:
        from wan_tui.ui.screens.confirm import Confirm

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
        memory = self.session.memory
        memory.screen = self.current_mode if self.current_mode != "generate" else HOME  # where keys are text
        memory.save()
        await self.feed.stop()
        self.exit()

    def _hang_up(self) -> None:
        """The line is gone: end the screens, and nothing else. An embedded engine ends with them."""
        self.run_worker(self._stop_and_exit(), exit_on_error=False, exclusive=True, group="leaving")
