"""A change of the configuration before it is made: the diff, and yes or no."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from wan_tui.ui.format_change import change_lines
from wan_tui.ui.glyphs import to_ascii
from wan_tui.ui.widgets.rows import LiveRows

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wan_tui.agent.changes import ChangePreview
    from wan_tui.ui.session import Session

_AROUND = 8  # border, padding, question, answers


class ChangeDialog(ModalScreen[bool]):
    """True when the change shall be made. Nothing was written yet."""

    CSS_PATH = "dialogs.tcss"
    AUTO_FOCUS = "#no"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "apply", tooltip="Make the change", id="change.yes"),
        Binding("n,escape", "answer(False)", "leave", tooltip="Leave the file as it is", id="change.no"),
        Binding("down,j", "scroll(1)", "down", show=False, tooltip="Further down the change", id="change.down"),
        Binding("up,k", "scroll(-1)", "up", show=False, tooltip="Further up the change", id="change.up"),
        Binding("left,right", "app.focus_next", "other", show=False, tooltip="The other answer", id="change.other"),
    ]

    def __init__(self, what: str, consequence: str, preview: ChangePreview, session: Session) -> None:
        super().__init__()
        self._what = what
        self._consequence = consequence
        self._preview = preview
        self._session = session
        self._rows = LiveRows(id="change-rows", ascii_only=session.ascii_only)

    def compose(self) -> ComposeResult:
        shown = to_ascii if self._session.ascii_only else str
        with Vertical(id="dialog", classes="wide"):
            yield Static(shown(f"{self._what[:1].upper()}{self._what[1:]}?"), id="question", markup=False)
            yield self._rows
            with Horizontal(id="answers"):
                yield Button("n  Leave it", id="no", compact=True)
                yield Button("y  Apply", id="yes", compact=True)

    def on_resize(self) -> None:
        self._rows.styles.max_height = max(self.size.height - _AROUND, 3)
        self._rows.show(partial(change_lines, self._preview, self._consequence))

    def action_scroll(self, by: int) -> None:
        self._rows.scroll_relative(y=by, animate=False)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
