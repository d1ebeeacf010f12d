"""A value of a few, chosen with the arrow keys; the place of the value is drawn, nothing moves by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from wan_tui.ui import glyphs
from wan_tui.ui.text import Line, Role, Span, merged, meter, pad, shorten
from wan_tui.ui.theme import styles

if TYPE_CHECKING:
    from collections.abc import Sequence

LABEL = 8


def slider_line(label: str, values: Sequence[str], at: int, width: int, *, focused: bool) -> Line:
    """``SIZE     ‹ 832×480 ›  ━━━━────``: the name, the value, and where among the others it is."""
    longest = min(max((len(value) for value in values), default=2), width - LABEL - 6)
    value = values[at] if values else "--"
    room = width - LABEL - longest - 9
    role = Role.STRONG if focused else Role.TEXT
    arrows = Role.ACCENT if focused else Role.DIM
    line: Line = (
        Span(f" {label:<{LABEL}}", Role.ACCENT if focused else Role.DIM),
        Span(f"{glyphs.LEFT} ", arrows),
        Span(shorten(value, longest).ljust(longest), role),
        Span(f" {glyphs.RIGHT}", arrows),
    )
    if room >= 6:
        share = at / (len(values) - 1) if len(values) > 1 else 0.0
        line = (*line, Span("  "), *meter(max(share, 0.01), min(room, 24), arrows))
    return pad(line, width)


class Slider(Widget, can_focus=True):
    """One of ``values``; left and right go to the next, shift by ten, home and end to the ends."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "turn(-1)", "less", show=False, tooltip="The value before", id="slider.less"),
        Binding("right,l", "turn(1)", "more", show=False, tooltip="The next value", id="slider.more"),
        Binding("shift+left,pageup", "turn(-10)", "much less", show=False, tooltip="Ten back", id="slider.much_less"),
        Binding("shift+right,pagedown", "turn(10)", "much more", show=False, tooltip="Ten on", id="slider.much_more"),
        Binding("home", "turn(-1000)", "first", show=False, tooltip="The first value", id="slider.first"),
        Binding("end", "turn(1000)", "last", show=False, tooltip="The last value", id="slider.last"),
        Binding("down,j", "app.focus_next", "next", show=False, tooltip="The next field", id="slider.down"),
        Binding("up,k", "app.focus_previous", "previous", show=False, tooltip="The field before", id="slider.up"),
    ]

    class Changed(Message):
        """Another value is chosen."""

        def __init__(self, slider: Slider) -> None:
            super().__init__()
            self.slider = slider

        @property
        def control(self) -> Slider:
            return self.slider

    def __init__(self, label: str, *, id: str, ascii_only: bool = False) -> None:
        super().__init__(id=id)
        self._label = label
        self._ascii_only = ascii_only
        self._values: tuple[str, ...] = ()
        self.at = 0

    @property
    def value(self) -> str | None:
        return self._values[self.at] if self._values else None

    def set_values(self, values: Sequence[str], chosen: str | None = None) -> None:
        """The values there are; ``chosen`` is taken, else the one that was, else the first. Says nothing."""
        wanted = chosen if chosen is not None else self.value
        self._values = tuple(values)
        self.at = self._values.index(wanted) if wanted in self._values else 0
        self.refresh()

    def action_turn(self, by: int) -> None:
        at = min(max(self.at + by, 0), len(self._values) - 1)
        if self._values and at != self.at:
            self.at = at
            self.refresh()
            self.post_message(self.Changed(self))

    def render_line(self, y: int) -> Strip:
        base, roles = self.rich_style, styles(self.app.theme)
        line = merged(slider_line(self._label, self._values, self.at, self.size.width, focused=self.has_focus))
        shown = glyphs.to_ascii if self._ascii_only else str
        segments = [Segment(shown(span.text), base + roles[span.role]) for span in line]
        return Strip(segments).adjust_cell_length(self.size.width, base)
