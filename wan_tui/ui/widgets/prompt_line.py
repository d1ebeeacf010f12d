"""The line at the bottom that asks for a command (``:``) or for words to filter by (``/``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

if TYPE_CHECKING:
    from textual.app import ComposeResult


class PromptLine(Horizontal):
    """Posts every change and how it ended; what it is for is its owner's business."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel", tooltip="Leave the line", id="prompt.cancel"),
        Binding("tab", "complete", "complete", priority=True, tooltip="Complete what is typed", id="prompt.complete"),
        Binding("up", "recall(-1)", "earlier", show=False, tooltip="The command before", id="prompt.earlier"),
        Binding("down", "recall(1)", "later", show=False, tooltip="The command after", id="prompt.later"),
    ]

    class _About(Message):
        def __init__(self, line: PromptLine) -> None:
            super().__init__()
            self.line = line

    class Changed(_About):
        """Something else is typed."""

    class Submitted(_About):
        """Enter."""

    class Cancelled(_About):
        """Escape."""

    class CompletionAsked(_About):
        """Tab."""

    def __init__(self, *, history: list[str]) -> None:
        super().__init__(id="prompt-line")
        self._history = history
        self._recalled = 0
        self._mark = Static(":", id="prompt-mark", markup=False)
        self._input = Input(id="prompt-input", compact=True)
        self._input.cursor_blink = False

    def compose(self) -> ComposeResult:
        yield self._mark
        yield self._input

    @property
    def mark(self) -> str:
        return str(self._mark.content)

    @property
    def text(self) -> str:
        return self._input.value

    def set_text(self, text: str) -> None:
        self._input.value = text
        self._input.cursor_position = len(text)

    def open(self, mark: str, text: str) -> None:
        self._mark.update(mark)
        self._recalled = len(self._history)
        self.display = True
        self.set_text(text)
        self.screen.set_focus(self._input)  # at once: what is typed next is for this line

    def close(self) -> None:
        self.display = False

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.display:
            self.post_message(self.Changed(self))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Submitted(self))

    def action_cancel(self) -> None:
        self.post_message(self.Cancelled(self))

    def action_complete(self) -> None:
        self.post_message(self.CompletionAsked(self))

    def action_recall(self, by: int) -> None:
        if self.mark == ":" and self._history:
            self._recalled = min(max(self._recalled + by, 0), len(self._history))
            self.set_text(self._history[self._recalled] if self._recalled < len(self._history) else "")
