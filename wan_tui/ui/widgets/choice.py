"""One of a few names, changed in place with the arrow keys: no overlay to paint over a slow link."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from wan_tui.ui import glyphs
from wan_tui.ui.text import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence


class Choice(Widget, can_focus=True):
    """Shows the chosen name between two arrows; left and right choose."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "previous", show=False, tooltip="Choose the one before", id="choice.previous"),
        Binding("right,space", "turn(1)", "next", show=False, tooltip="Choose the one after", id="choice.next"),
    ]

    class Changed(Message):
        """Another name is chosen, by the reader or because the old one is gone."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

        @property
        def control(self) -> Choice:
            return self.choice

    def __init__(self, *, id: str, ascii_only: bool = False) -> None:
        super().__init__(id=id)
        self._ascii_only = ascii_only
        self._options: tuple[str, ...] = ()
        self.value: str | None = None

    def set_options(self, options: Sequence[str]) -> None:
        """The names there are now; the chosen one stays while it exists."""
        if tuple(options) == self._options:
            return
        self._options = tuple(options)
        if self.value not in self._options:
            self.choose(self._options[0] if self._options else None)
        self.refresh()

    def choose(self, value: str | None) -> None:
        if value != self.value:
            self.value = value
            self.refresh()
            self.post_message(self.Changed(self))

    def action_turn(self, by: int) -> None:
        if self._options:
            at = self._options.index(self.value) if self.value in self._options else 0
            self.choose(self._options[(at + by) % len(self._options)])

    def render_line(self, y: int) -> Strip:
        style = self.rich_style
        name = self.value or "no deployment"
        several = len(self._options) > 1
        line = f"{glyphs.LEFT} {name} {glyphs.RIGHT}" if several else name
        line = shorten(line, self.size.width)
        if self._ascii_only:
            line = glyphs.to_ascii(line)
        return Strip([Segment(line, style)]).adjust_cell_length(self.size.width, style)
