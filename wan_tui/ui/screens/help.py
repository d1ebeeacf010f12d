"""Every key, generated from the bindings, so that this page cannot be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from wan_tui.ui import glyphs
from wan_tui.ui.format import key_name
from wan_tui.ui.text import Frame, Role, Row, Span, View, pad, rule, text, wrap
from wan_tui.ui.widgets.rows import LiveRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import ComposeResult

    from wan_tui.ui.session import Session

_KEY_WIDTH = 24
_MARKS = (
    (f"{glyphs.ON} {glyphs.HALF} {glyphs.OFF} {glyphs.CROSS}", "loaded, in between, unloaded, failed"),
    ("--", "not known or not supported; never means 0"),
    (f"EST {glyphs.ARROW} OBS", "estimated and observed seconds of the last generation"),
)


def explained(bindings: Iterable[BindingType]) -> list[tuple[str, str]]:
    """Keys and what they do, one pair per binding."""
    pairs: list[tuple[str, str]] = []
    for binding in bindings:
        if isinstance(binding, Binding):
            pairs.append(
                (", ".join(key_name(key) for key in binding.key.split(",")), binding.tooltip or binding.description)
            )
    return pairs


class Help(ModalScreen[None]):
    """The keys of this screen first, then those that work everywhere, then the marks."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "close", "close", tooltip="Close this page", id="help.close"),
        Binding("down,j", "scroll(1)", "down", show=False, tooltip="Further down this page", id="help.down"),
        Binding("up,k", "scroll(-1)", "up", show=False, tooltip="Further up this page", id="help.up"),
    ]

    def __init__(self, sections: list[tuple[str, list[tuple[str, str]]]], session: Session) -> None:
        super().__init__()
        self._sections = sections
        self._rows = LiveRows(id="help-rows", ascii_only=session.ascii_only)

    def compose(self) -> ComposeResult:
        with Vertical(id="help") as page:
            page.border_title = "Keys"
            page.border_subtitle = "j k scroll, esc close"
            yield self._rows

    def on_resize(self) -> None:
        self._rows.styles.max_height = max(self.size.height - 2, 1)
        self._rows.show(self._page)

    def _page(self, view: View) -> Frame:
        rows: list[Row] = []
        for title, pairs in (*self._sections, ("MARKS", list(_MARKS))):
            rows.append(Row(rule(title, (), view)))
            for key, meaning in pairs:
                for i, part in enumerate(wrap(meaning, view.width - _KEY_WIDTH - 4)):
                    name = pad(text(key if i == 0 else "", Role.STRONG), _KEY_WIDTH)
                    rows.append(Row(pad((Span("   "), *name, Span(part)), view.width)))
        return Frame((), tuple(rows))

    def action_close(self) -> None:
        self.dismiss(None)

    def action_scroll(self, by: int) -> None:
        self._rows.scroll_relative(y=by, animate=False)
