"""A finished video in the terminal: half blocks at a reduced rate, with pause and single steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from wan_tui.core.runtime.state import Preview
from wan_tui.ui import glyphs
from wan_tui.ui.format import dim_join
from wan_tui.ui.playback import Playback
from wan_tui.ui.text import Frame, Line, Role, Span, View, clean, join, meter, pad, spread, text, wrap
from wan_tui.ui.widgets.preview import PreviewView
from wan_tui.ui.widgets.rows import LiveRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.timer import Timer

    from wan_tui.core.reel import Reel
    from wan_tui.ui.session import Session

FAST_SECONDS, SLOW_SECONDS = 0.1, 1.0
_KEYS = (("space", "pause"), ("left right", "step"), ("home", "begin again"), ("y", "copy path"), ("esc", "close"))


class Player(ModalScreen[None]):
    """Asks the engine for the frames, so that it can show what is on another host; nothing is decoded here.

    ``paths`` are the videos of one job, mostly one.
    """

    CSS_PATH = "player.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,v", "close", "close", tooltip="Close the player", id="player.close"),
        Binding("space", "pause", "pause", tooltip="Pause or go on", id="player.pause"),
        Binding("right,l,full_stop", "step(1)", "next", tooltip="Pause, one frame on", id="player.next"),
        Binding("left,h,comma", "step(-1)", "previous", tooltip="Pause, one frame back", id="player.previous"),
        Binding("home", "step(-100000)", "first", tooltip="The first frame", id="player.first"),
        Binding("end", "step(100000)", "last", tooltip="The last frame", id="player.last"),
        Binding("n", "other(1)", "next video", tooltip="The next video of the job", id="player.next_video"),
        Binding("p", "other(-1)", "video before", tooltip="The video of the job before", id="player.video_before"),
        Binding("y", "copy", "copy path", tooltip="Copy the path of the file", id="player.copy"),
    ]

    def __init__(self, paths: Sequence[str], title: str, session: Session) -> None:
        super().__init__()
        self._paths = tuple(paths)
        self._chosen = 0
        self._about_it = title
        self._session = session
        self._head = LiveRows(id="player-head", ascii_only=session.ascii_only)
        self._picture = PreviewView(id="player-picture", colour=session.colour, ascii_only=session.ascii_only)
        self._foot = LiveRows(id="player-foot", ascii_only=session.ascii_only)
        self._timer: Timer | None = None
        self._skip = 1
        self._problem: str | None = None
        self.reel: Reel | None = None
        self.playback = Playback(0)

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._picture
        yield self._foot

    def on_mount(self) -> None:
        self._redraw()
        self.call_after_refresh(self._fetch)

    @property
    def _path(self) -> str:
        return self._paths[self._chosen]

    def _fetch(self) -> None:
        width, height = self._picture.size.width, self._picture.size.height * 2
        path = self._path
        self._session.ask("player", lambda client: client.reel(path, width, height), self._arrived, self._failed)

    def _arrived(self, reel: Reel) -> None:
        if not self.is_attached or reel.path != self._path:
            return
        self._problem = None
        self.reel, self.playback = reel, Playback(len(reel.frames), playing=len(reel.frames) > 1)
        if reel.seconds_apart:
            # On a slow link fewer pictures at the same speed: one fills the line for a good part of a second.
            least = SLOW_SECONDS if self._session.options.slow_link else FAST_SECONDS
            self._skip = max(round(least / reel.seconds_apart), 1)
            self._timer = self.set_interval(reel.seconds_apart * self._skip, self._tick)
        self._redraw()

    def _failed(self, reason: str) -> None:
        if self.is_attached:
            self._problem = reason
            self._redraw()

    def _tick(self) -> None:
        self._go(self.playback.tick(self._skip))

    def _go(self, playback: Playback) -> None:
        if playback != self.playback:
            self.playback = playback
            self._redraw()

    def _redraw(self) -> None:
        if self.reel is not None:
            reel = self.reel
            self._picture.show(Preview(reel.width, reel.height, reel.frames[self.playback.at]))
        self._head.show(self._head_line)
        self._foot.show(self._foot_lines)

    def _head_line(self, view: View) -> Frame:
        reel = self.reel
        facts: Line = ()
        which = f", video {self._chosen + 1} of {len(self._paths)}" if len(self._paths) > 1 else ""
        if reel is not None:
            size = f"{reel.source_width}{glyphs.TIMES}{reel.source_height}"
            shown = reel.seconds_apart * self._skip
            rate = f"{reel.fps:g} fps, shown {1 / shown:.1f}" if shown else ""
            facts = dim_join(size, f"{reel.total} frames" if reel.total > 1 else "a picture", rate)
        return Frame((spread(text(clean(self._about_it) + which, Role.STRONG), facts, view.width),))

    def _foot_lines(self, view: View) -> Frame:
        width = view.width - 2
        if self._problem is not None:
            lines = [text(part, Role.ERROR) for part in wrap(f"{glyphs.CROSS} {self._problem}", width, most=3)]
        elif self.reel is None:
            lines = [text("reading the video", Role.DIM)]
        else:
            lines = [_place(self.reel, self.playback, width)]
        shown = _KEYS if len(self._paths) == 1 else (*_KEYS[:-1], ("n p", "other video"), _KEYS[-1])
        keys = join([(Span(key, Role.STRONG), Span(f" {what}", Role.DIM)) for key, what in shown])
        return Frame(tuple(pad((Span(" "), *line), view.width) for line in (*lines, keys)))

    def action_pause(self) -> None:
        self._go(self.playback.toggled())

    def action_step(self, by: int) -> None:
        self._go(self.playback.stepped(by))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return len(self._paths) > 1 if action == "other" else super().check_action(action, parameters)

    def action_other(self, by: int) -> None:
        """Another video of the job, from its beginning."""
        self._chosen = (self._chosen + by) % len(self._paths)
        if self._timer is not None:
            self._timer.stop()
        self.reel, self.playback = None, Playback(0)
        self._redraw()
        self._fetch()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._path)
        self._session.say(f"copied {self._path}", Role.OK)

    def action_close(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self.dismiss(None)


def _place(reel: Reel, playback: Playback, width: int) -> Line:
    """Which frame this is, as a word, a bar and a time."""
    frame = min(playback.at * reel.stride, reel.total - 1)
    state = "plays" if playback.playing else "paused"
    if not reel.fps:
        return text("a picture", Role.DIM)
    figures = f" {state:<6}  frame {frame + 1:>{len(str(reel.total))}}/{reel.total}  {frame / reel.fps:.1f} s"
    ratio = playback.at / (playback.number - 1) if playback.number > 1 else 1.0
    return (*meter(ratio, max(width - len(figures), 4)), Span(figures))
