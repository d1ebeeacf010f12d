"""The fields of a job: the shape and the prompts, and behind one key what else a request can say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Button, Input, Static, TextArea

from wan_tui.ui import form, glyphs
from wan_tui.ui.text import Frame, rule
from wan_tui.ui.widgets.choice import Choice
from wan_tui.ui.widgets.rows import LiveRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult
    from textual.widget import Widget


class PromptArea(TextArea, inherit_bindings=True):
    """A few lines of text, wrapped; enter is for generating, so a pasted newline is the only one there can be."""

    class Submitted(Message):
        pass

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Submitted())
            return
        await super()._on_key(event)


class JobForm(Vertical):
    """Holds what is typed; what it means is ``form``'s business, what happens with it the screen's."""

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__(id="form")
        self._ascii_only = ascii_only
        self.deployment = Choice(id="deployment", ascii_only=ascii_only)
        self.requeue = Choice(id="requeue", ascii_only=ascii_only)
        self.requeue.set_options((form.YES, form.NO))
        self.prompt = PromptArea(id="prompt", compact=True, soft_wrap=True, show_line_numbers=False)
        self.prompt.highlight_cursor_line = False
        self.prompt.cursor_blink = False
        names = ("negative", "image", *form.FIELDS, *form.MORE_FIELDS)
        self.inputs = {name: Input(id=name, compact=True) for name in names}
        for field in self.inputs.values():
            field.cursor_blink = False
        for name, value in form.PLAIN.items():
            if name in self.inputs:
                self.inputs[name].value = value
        self.inputs["seed"].value = "42"
        self.inputs["negative"].placeholder = "optional"
        self.inputs["timeout"].placeholder = "none"
        self.inputs["output"].placeholder = "named after the job"
        self._title = LiveRows(id="form-title", ascii_only=ascii_only)
        self.answer = LiveRows(id="answer", ascii_only=ascii_only)

    def compose(self) -> ComposeResult:
        by = Static(glyphs.to_ascii(glyphs.TIMES) if self._ascii_only else glyphs.TIMES, classes="by")
        inputs = self.inputs
        yield self._title
        yield _line(_label("deployment"), self.deployment, classes="line prose")
        yield _line(_label("prompt"), self.prompt, classes="line prose")
        yield _line(_label("negative"), inputs["negative"], classes="line prose")
        yield _line(_label("picture"), inputs["image"], classes="line picture")
        size = (inputs["width"], by, inputs["height"])
        yield _line(_label("size"), *size, _label("frames", "near"), inputs["frames"])
        yield _line(_label("steps"), inputs["steps"], _label("guidance", "far"), inputs["guidance"])
        yield _line(_label("seed"), inputs["seed"], Button("Generate", id="submit", compact=True))
        yield _line(_label("output"), inputs["output"], classes="line more")
        yield _line(_label("videos"), inputs["videos"], classes="line more")
        numbers = (inputs["priority"], _label("retries", "far"), inputs["retries"])
        yield _line(_label("priority"), *numbers, classes="line more")
        again = (inputs["timeout"], _label("restart", "far"), self.requeue)
        yield _line(_label("timeout s"), *again, classes="line more")
        yield self.answer

    def on_mount(self) -> None:
        self._title.show(lambda view: Frame((rule("NEW JOB", (), view),)))

    @property
    def typed(self) -> dict[str, str]:
        return {
            **{name: field.value for name, field in self.inputs.items()},
            "prompt": self.prompt.text,
            "requeue": self.requeue.value or form.YES,
        }

    def fill(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            if name == "requeue":
                self.requeue.choose(value)
            elif name == "prompt":
                self.prompt.text = value
            else:
                self.inputs[name].value = value

    def mark_wrong(self, error: form.FieldError | None) -> None:
        """Mark the field that is wrong and go there; None clears the mark."""
        for name, field in (*self.inputs.items(), ("prompt", self.prompt)):
            wrong = error is not None and error.field == name
            field.set_class(wrong, "-wrong")
            if wrong and name != "prompt":
                field.focus()


def _label(name: str, classes: str = "") -> Static:
    return Static(name, classes=f"label {classes}")


def _line(*widgets: Widget, classes: str = "line") -> Horizontal:
    return Horizontal(*widgets, classes=classes)
