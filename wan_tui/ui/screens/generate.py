"""The form, the job it started, its preview, and the jobs before it."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Button, Input, Static, TextArea

from wan_tui.core.units import format_bytes, format_seconds
from wan_tui.core.words import Verdict
from wan_tui.ui import form, format, format_deployments, format_jobs, glyphs
from wan_tui.ui.format_jobs import job_name
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.text import Frame, Line, Role, Row, Span, View, join, pad, rule, text, wrap
from wan_tui.ui.widgets.choice import Choice
from wan_tui.ui.widgets.preview import PreviewView
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from wan_tui.core.planning.plan import GenerationRequest
    from wan_tui.core.runtime.state import Job
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

_HINT = text("type a prompt, then press enter", Role.DIM)


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


class GenerateScreen(BaseScreen):
    """Nothing typed is ever overwritten by a snapshot: defaults fill the form when a deployment is chosen."""

    mode = "generate"
    CSS_PATH = "generate.tcss"
    AUTO_FOCUS = "#prompt"
    widgets_with_keys = (Choice,)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "start", tooltip="Start what the form says", id="generate.start"),
        Binding("ctrl+r", "new_seed", "new seed", tooltip="Put a random seed in the form", id="generate.new_seed"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        ascii_only = session.ascii_only
        self._choice = Choice(id="deployment", ascii_only=ascii_only)
        self._prompt = PromptArea(id="prompt", compact=True, soft_wrap=True, show_line_numbers=False)
        self._prompt.highlight_cursor_line = False
        self._inputs = {name: Input(id=name, compact=True) for name in ("negative", *form.FIELDS)}
        self._inputs["seed"].value = "42"
        self._inputs["negative"].placeholder = "optional"
        self._title = self.rows("form-title")
        self._answer = self.rows("answer")
        self._preview_title = self.rows("preview-title")
        self._preview = PreviewView(id="preview", colour=session.colour, ascii_only=ascii_only)
        self._job = self.rows("job")
        self._jobs = SelectableRows(id="jobs", ascii_only=ascii_only, follow_first=True)
        self._events = self.rows("events")
        self._filled_for: str | None = None
        self._asked_for: str | None = None
        self._error: form.FieldError | None = None

    def compose_body(self) -> Iterable[Widget]:
        by = Static(glyphs.to_ascii(glyphs.TIMES) if self.session.ascii_only else glyphs.TIMES, classes="by")
        inputs = self._inputs
        with Vertical(id="form"):
            yield self._title
            yield _line(_label("deployment"), self._choice, classes="line prose")
            yield _line(_label("prompt"), self._prompt, classes="line prose")
            yield _line(_label("negative"), inputs["negative"], classes="line prose")
            size = (inputs["width"], by, inputs["height"])
            yield _line(_label("size"), *size, _label("frames", "near"), inputs["frames"])
            yield _line(_label("steps"), inputs["steps"], _label("guidance", "far"), inputs["guidance"])
            yield _line(_label("seed"), inputs["seed"], Button("Generate", id="submit", compact=True))
            yield self._answer
        with Vertical(id="picture"):
            yield self._preview_title
            yield self._preview
        yield self._job
        yield self._jobs
        yield self._events

    def on_mount(self) -> None:
        self._prompt.cursor_blink = False
        for field in self._inputs.values():
            field.cursor_blink = False
        self._title.show(lambda view: Frame((rule("NEW JOB", (), view),)))

    # -- drawing

    def show_snapshot(self, snapshot: Snapshot) -> None:
        if self._choice.value is None and (first := format_deployments.preferred(snapshot)) is not None:
            self._choice.choose(first.name)
        self._choice.set_options([d.name for d in snapshot.deployments])
        self._fill(snapshot)
        self._jobs.show(partial(format_jobs.job_list, snapshot))
        job = self.selected_job()
        self._job.show(partial(format_jobs.job_panel, snapshot, job, _HINT, full=self.size.height >= 34))
        self._preview.show(job.preview if job else None)
        self._preview_title.show(partial(_preview_title, job))
        self._events.show(partial(format_jobs.events, snapshot))
        self._answer.show(partial(_answer, snapshot, self._choice.value, self._error))

    def on_resize(self) -> None:
        self.redraw()

    def _fill(self, snapshot: Snapshot) -> None:
        name = self._choice.value
        deployment = snapshot.deployment(name) if name else None
        if deployment is None or self._filled_for == name:
            return
        self._filled_for = name
        for field, value in form.defaults(deployment.defaults).items():
            self._inputs[field].value = value

    @on(Choice.Changed)
    @on(SelectableRows.Moved)
    def _selection_changed(self) -> None:
        self.redraw()

    # -- commands

    def selected_deployment(self) -> str | None:
        return self._choice.value

    def selected_job(self) -> Job | None:
        snapshot = self.session.snapshot
        if snapshot is None:
            return None
        chosen = snapshot.job(self._jobs.cursor) if self._jobs.cursor else None
        return chosen if chosen is not None else format_jobs.job_to_watch(snapshot)

    @on(Input.Submitted)
    @on(PromptArea.Submitted)
    @on(Button.Pressed, "#submit")
    def action_submit(self) -> None:
        typed = {name: field.value for name, field in self._inputs.items()} | {"prompt": self._prompt.text}
        request = form.parse(self._choice.value, typed)
        self._error = request if isinstance(request, form.FieldError) else None
        for name, field in (*self._inputs.items(), ("prompt", self._prompt)):
            field.set_class(self._error is not None and self._error.field == name, "-wrong")
        if isinstance(request, form.FieldError):
            if (wrong := self._inputs.get(request.field)) is not None:
                wrong.focus()
        else:
            self.session.perform(
                f"generate with {request.deployment}",
                lambda client: client.generate(request),
                lambda job: self._jobs.select(job) if job else None,
            )
        self.redraw()

    def action_new_seed(self) -> None:
        self._inputs["seed"].value = str(random.randrange(2**32))

    def open_for(self, deployment: str | None) -> None:
        """Where ``g`` leads: the prompt, and the deployment that was selected, unless it was asked for before."""
        if deployment is not None and deployment != self._asked_for:
            self._asked_for = deployment
            self._choice.choose(deployment)
        self._prompt.focus()

    def take(self, request: GenerationRequest) -> None:
        """Fill the form with a request that was made before."""
        self._asked_for = self._filled_for = request.deployment
        self._choice.choose(request.deployment)
        self._prompt.text = request.prompt
        self._inputs["negative"].value = request.negative_prompt
        for field, value in form.values(request).items():
            self._inputs[field].value = value

    def home(self) -> LiveRows:
        return self._jobs


def _label(name: str, classes: str = "") -> Static:
    return Static(name, classes=f"label {classes}")


def _line(*widgets: Widget, classes: str = "line") -> Horizontal:
    return Horizontal(*widgets, classes=classes)


def _answer(snapshot: Snapshot, name: str | None, error: form.FieldError | None, view: View) -> Frame:
    """Under the form: what is wrong with it, or what is known about the deployment it is for."""
    width = view.width - 4
    if error is not None:
        lines = [text(part, Role.ERROR) for part in wrap(f"{glyphs.CROSS} {error.message}", width, most=2)]
    else:
        lines = _estimates(snapshot, name, width)
    return Frame((), tuple(Row(pad((Span("   "), *line), view.width)) for line in lines))


def _estimates(snapshot: Snapshot, name: str | None, width: int) -> list[Line]:
    deployment = snapshot.deployment(name) if name else None
    if deployment is None:
        return []
    compatibility, memory = deployment.compatibility, deployment.compatibility.memory
    verdict = text(format.words(compatibility.verdict), format_deployments.VERDICT_ROLES[compatibility.verdict])
    lines = [join((format_deployments.state_line(deployment), verdict))]
    if compatibility.verdict is Verdict.INCOMPATIBLE:
        return lines + [text(part, Role.DIM) for part in wrap(compatibility.reason, width, most=2)]
    if memory is not None:
        whole = format_bytes(format_deployments.device_bytes(snapshot, deployment))
        lines.append(
            text(f"peak {format_bytes(memory.peak_bytes)} of {whole}, {format_jobs.basis_of(memory)}", Role.DIM)
        )
    if deployment.last_generation_seconds is not None:
        estimated, took = deployment.last_estimated_seconds, deployment.last_generation_seconds
        lines.append(text(f"last run estimated {format_seconds(estimated)}, took {format_seconds(took)}", Role.DIM))
    return lines


def _preview_title(job: Job | None, view: View) -> Frame:
    if job is None or job.preview is None:
        return Frame((rule("PREVIEW", text("none yet", Role.DIM), view),))
    return Frame((rule("PREVIEW", text(f"{job_name(job.id)} step {job.step}", Role.DIM), view),))
