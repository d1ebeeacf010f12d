"""A question about something that cannot be taken back. It names the thing; the safe answer is the default."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from wan_tui.ui.glyphs import to_ascii

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wan_tui.ui.session import Session


class Confirm(ModalScreen[bool]):
    """True for yes; no and esc are the same."""

    CSS_PATH = "dialogs.tcss"
    AUTO_FOCUS = "#no"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes", tooltip="Yes, do it", id="confirm.yes"),
        Binding("n,escape", "answer(False)", "no", tooltip="No, leave it", id="confirm.no"),
        Binding("left,right", "app.focus_next", "other", show=False, tooltip="The other answer", id="confirm.other"),
    ]

    def __init__(self, question: str, about: str, session: Session) -> None:
        super().__init__()
        self._question = question
        self._about = about
        self._session = session

    def compose(self) -> ComposeResult:
        shown = to_ascii if self._session.ascii_only else str
        with Vertical(id="dialog"):
            yield Static(shown(self._question), id="question", markup=False)
            yield Static(shown(self._about), id="about", markup=False)
            with Horizontal(id="answers"):
                yield Button("n  No", id="no", compact=True)
                yield Button("y  Yes", id="yes", compact=True)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
