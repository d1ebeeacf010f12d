"""The form with its live estimate, the job it started, its preview, and the jobs before it."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Button, Input, TextArea

from wan_tui.core.errors import UsageError
from wan_tui.ui import form, format_deployments, format_estimate, format_jobs, glyphs
from wan_tui.ui.format_jobs import job_name
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.screens.job_keys import JobKeys
from wan_tui.ui.text import Frame, Line, Role, Row, Span, View, pad, rule, text, wrap
from wan_tui.ui.widgets.choice import Choice
from wan_tui.ui.widgets.job_form import JobForm, PromptArea
from wan_tui.ui.widgets.preview import PreviewView
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.timer import Timer
    from textual.widget import Widget

    from wan_tui.agent.client import Client
    from wan_tui.core.planning.plan import GenerationRequest
    from wan_tui.core.planning.questions import Assessment, Question
    from wan_tui.core.runtime.state import Job
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

_HINT = text("type a prompt, then press enter", Role.DIM)
# While somebody types, nothing is asked; the answer comes a moment after the last key.
_TYPING_SECONDS = 0.25
# After a failure: the agent may be back.
_RETRY_SECONDS = 5.0
_HEADROOM_STEP_BYTES = 256 * 2**20
# What the built-in models draw; they know no other things.
EXAMPLE = "a red circle moving right on a light background"


class GenerateScreen(JobKeys, BaseScreen):
    """Nothing typed is ever overwritten by a snapshot: defaults fill the form when a deployment is chosen."""

    mode = "generate"
    CSS_PATH = "generate.tcss"
    AUTO_FOCUS = "#prompt"
    widgets_with_keys = (Choice,)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+g", "remedy", "make it fit", tooltip="Change the form so that it fits", id="generate.remedy"),
        Binding("enter", "submit", "start", tooltip="Start what the form says", id="generate.start"),
        Binding("ctrl+r", "new_seed", "new seed", tooltip="Put a random seed in the form", id="generate.new_seed"),
        Binding(
            "ctrl+o", "more", "more", tooltip="Output, priority, retries, timeout: show or hide", id="generate.more"
        ),
        Binding("ctrl+t", "pick", "picture", tooltip="Choose a picture on the engine's host", id="generate.picture"),
        Binding("v", "play", "view video", tooltip="Play the video of the selected job", id="generate.play"),
        Binding("y", "copy", "copy path", tooltip="Copy the path of the selected video", id="generate.copy"),
        Binding("e", "edit", "edit", tooltip="Put the selected job into the form", id="generate.edit"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        ascii_only = session.ascii_only
        self._form = JobForm(ascii_only=ascii_only)
        self._preview_title = self.rows("preview-title")
        self._preview = PreviewView(id="preview", colour=session.colour, ascii_only=ascii_only)
        self._job = self.rows("job")
        self._jobs = SelectableRows(id="jobs", ascii_only=ascii_only, follow_first=True, opens=True)
        self._events = self.rows("events")
        self._filled_for: str | None = None
        self._asked_for: str | None = None
        self._error: form.FieldError | None = None
        self._typing: Timer | None = None
        self._asked: tuple[Question | None, object] | None = None
        self._found: Assessment | None = None
        self._problem: str | None = None
        self._retry_at = 0.0

    def compose_body(self) -> Iterable[Widget]:
        yield self._form
        with Vertical(id="picture"):
            yield self._preview_title
            yield self._preview
        yield self._job
        yield self._jobs
        yield self._events

    # -- drawing

    def show_snapshot(self, snapshot: Snapshot) -> None:
        chosen = self._form.deployment
        if chosen.value is None and (first := format_deployments.preferred(snapshot)) is not None:
            chosen.choose(first.name)
        chosen.set_options([d.name for d in snapshot.deployments])
        self._fill(snapshot)
        self._ask_estimate()
        self._jobs.show(partial(format_jobs.job_list, snapshot))
        job = self.selected_job()
        self._job.show(partial(format_jobs.job_panel, snapshot, job, _HINT, full=self.size.height >= 34))
        slow = self.session.options.slow_link
        self._preview.show(job.preview if job and not slow else None)
        self._preview_title.show(partial(_preview_title, job, slow))
        self._events.show(partial(format_jobs.events, snapshot))
        self._show_answer()

    def _show_answer(self) -> None:
        self._form.answer.show(self._answer)

    def _answer(self, view: View) -> Frame:
        """Under the form: what is wrong with it, or whether it fits and how long it takes."""
        width, room = view.width - 4, max(view.height, 3)
        if self._error is not None:
            lines = [text(part, Role.ERROR) for part in wrap(f"{glyphs.CROSS} {self._error.message}", width, most=2)]
        elif self._problem is not None:
            lines = [text(part, Role.WARN) for part in wrap(f"no estimate: {self._problem}", width, most=2)]
        elif self._found is None:
            lines = [text("estimating", Role.DIM)] if self._asked is not None and self._asked[0] is not None else []
        else:
            lines = format_estimate.estimate(self._found, width, room)
            if len(lines) < room and (last := _last_run(self.session.snapshot, self._form.deployment.value)):
                lines.append(last)
        return Frame((), tuple(Row(pad((Span("   "), *line), view.width)) for line in lines))

    def on_resize(self) -> None:
        self.redraw()

    def _fill(self, snapshot: Snapshot) -> None:
        name = self._form.deployment.value
        deployment = snapshot.deployment(name) if name else None
        if deployment is None:
            return
        model = snapshot.model(deployment.model)
        self.set_class(model is not None and "image" in model.task, "-takes-picture")
        if self._filled_for == name:
            return
        self._filled_for = name
        self._form.prompt.placeholder = EXAMPLE if deployment.model.endswith("-pocket") else ""
        self._form.fill(form.defaults(deployment.defaults))

    @on(Choice.Changed)
    @on(SelectableRows.Moved)
    def _selection_changed(self) -> None:
        self.redraw()

    # -- the live estimate

    @on(Input.Changed)
    def _typed(self) -> None:
        self._error = None
        self._form.mark_wrong(None)
        if self._typing is not None:
            self._typing.stop()
        self._typing = self.set_timer(_TYPING_SECONDS, self._typed_enough)

    @on(TextArea.Changed)
    def _prompt_typed(self) -> None:
        if self._error is not None and self._error.field == "prompt":
            self._error = None
            self._form.mark_wrong(None)
            self._show_answer()

    def _typed_enough(self) -> None:
        self._ask_estimate()
        self._show_answer()

    def _question(self) -> Question | None:
        typed = self._form.typed
        if not self.has_class("-takes-picture"):
            typed["image"] = ""
        return form.question(self._form.deployment.value, typed)

    def _ask_estimate(self) -> None:
        """Ask the planner, when the shape or what it depends on is another than it was asked about."""
        question = self._question()
        asked = (question, self._circumstances())
        lost = self._problem is not None and self.session.clock() >= self._retry_at
        if asked == self._asked and not lost:
            return
        self._retry_at = self.session.clock() + _RETRY_SECONDS
        if self._asked is not None and self._asked[0] != question:
            self._found = self._problem = None
        self._asked = asked
        if question is not None:
            self.session.ask("estimate", lambda client: client.assess([question]), self._estimated, self._not_estimated)

    def _circumstances(self) -> object:
        """What changes an estimate beside the form: the deployment's state, room on the device, runs to learn from."""
        snapshot, name = self.session.snapshot, self._form.deployment.value
        deployment = snapshot.deployment(name) if snapshot is not None and name is not None else None
        if deployment is None:
            return None
        compatibility = deployment.compatibility
        room = None
        if compatibility.headroom_bytes is not None:
            room = compatibility.headroom_bytes // _HEADROOM_STEP_BYTES
        return deployment.state, compatibility.plan, compatibility.verdict, room, deployment.totals.jobs_finished

    def _estimated(self, found: tuple[Assessment, ...]) -> None:
        self._found, self._problem = found[0], None
        self._show_answer()
        self.refresh_bindings()

    def _not_estimated(self, reason: str) -> None:
        self._found, self._problem = None, reason
        self._show_answer()

    # -- commands

    def selected_deployment(self) -> str | None:
        return self._form.deployment.value

    def selected_job(self) -> Job | None:
        snapshot = self.session.snapshot
        if snapshot is None:
            return None
        chosen = snapshot.job(self._jobs.cursor) if self._jobs.cursor else None
        return chosen if chosen is not None else format_jobs.job_to_watch(snapshot)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "edit":
                return not self._in_field() and self.selected_job() is not None
            case "play" | "copy" | "filter":
                return not self._in_field() and super().check_action(action, parameters)
            case "pick":
                return self.has_class("-takes-picture")
            case "remedy":
                return bool(format_estimate.form_remedy(self._found))
        return super().check_action(action, parameters)

    @on(Input.Submitted)
    @on(PromptArea.Submitted)
    @on(Button.Pressed, "#submit")
    def action_submit(self) -> None:
        typed = self._form.typed
        if not self.has_class("-takes-picture"):
            typed["image"] = ""
        request = form.parse(self._form.deployment.value, typed)
        self._error = request if isinstance(request, form.FieldError) else None
        self._form.mark_wrong(self._error)
        if self._error is not None and self._error.field in form.MORE_FIELDS:
            self.add_class("-more")
        if not isinstance(request, form.FieldError):
            self.session.perform(
                f"generate with {request.deployment}",
                partial(_generate, request, self._question()),
                lambda job: self._jobs.select(job) if job else None,
            )
        self.redraw()

    def action_new_seed(self) -> None:
        self._form.inputs["seed"].value = str(random.randrange(2**32))

    def action_more(self) -> None:
        self.toggle_class("-more")
        if self.has_class("-more"):
            self._form.inputs["output"].focus()

    def action_remedy(self) -> None:
        changed = format_estimate.form_remedy(self._found)
        self._form.fill(changed)
        self.session.say("changed " + ", ".join(f"{name} to {value}" for name, value in changed.items()), Role.OK)

    def action_pick(self) -> None:
        from wan_tui.ui.screens.picker import Picker

        image = self._form.inputs["image"]

        def chosen(path: str | None) -> None:
            if path is not None:
                image.value = path
                image.focus()

        self.app.push_screen(Picker(image.value, self.session), chosen)

    def action_edit(self) -> None:
        if (job := self.selected_job()) is not None:
            self.take(job.request)
            self._form.prompt.focus()

    @on(SelectableRows.Opened)
    def _opened(self, message: SelectableRows.Opened) -> None:
        from wan_tui.ui.screens.job_detail import JobDetail

        self.app.push_screen(JobDetail(self.session, message.key, mode=self.mode))

    def open_for(self, deployment: str | None) -> None:
        """Where ``g`` leads: the prompt, and the deployment that was selected, unless it was asked for before."""
        if deployment is not None and deployment != self._asked_for:
            self._asked_for = deployment
            self._form.deployment.choose(deployment)
        self._form.prompt.focus()

    def take(self, request: GenerationRequest) -> None:
        """Fill the form with a request that was made before."""
        snapshot = self.session.snapshot
        if snapshot is not None and snapshot.deployment(request.deployment) is None:
            self.session.say(f"{request.deployment} is no longer configured: choose another deployment", Role.ERROR)
        else:
            self._asked_for = self._filled_for = request.deployment
            self._form.deployment.choose(request.deployment)
        typed = {"prompt": request.prompt, "negative": request.negative_prompt}
        self._form.fill({**typed, **form.values(request)})

    def home(self) -> LiveRows:
        return self._jobs


async def _generate(request: GenerationRequest, question: Question | None, client: Client) -> str:
    """Queue it, unless the planner says that it can't be made here: an out-of-memory after an hour helps nobody."""
    if question is not None:
        (found,) = await client.assess([question])
        if (reason := format_estimate.refusal(found)) is not None:
            raise UsageError(reason)
    return await client.generate(request)


def _last_run(snapshot: Snapshot | None, name: str | None) -> Line:
    deployment = snapshot.deployment(name) if snapshot is not None and name is not None else None
    return format_estimate.last_run(deployment) if deployment is not None else ()


def _preview_title(job: Job | None, slow: bool, view: View) -> Frame:
    if slow:
        return Frame((rule("PREVIEW", text("off: slow link", Role.DIM), view),))
    if job is None or job.preview is None:
        return Frame((rule("PREVIEW", text("none yet", Role.DIM), view),))
    return Frame((rule("PREVIEW", text(f"{job_name(job.id)} step {job.step}", Role.DIM), view),))
