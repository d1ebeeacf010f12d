"""Everything about one deployment: why, what would help, its memory, its stages, its findings, its log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from wan_tui.agent.changes import of_deployment
from wan_tui.core.planning.questions import Question
from wan_tui.core.units import format_bytes, format_seconds
from wan_tui.ui import format_deployment_page as sections
from wan_tui.ui.changing import propose
from wan_tui.ui.format import words
from wan_tui.ui.screens.base import DetailScreen
from wan_tui.ui.screens.deployment_keys import DeploymentKeys
from wan_tui.ui.text import Frame, Role, Row, View, pad, text
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from wan_tui.core.planning.plan import Remedy
    from wan_tui.core.planning.questions import Assessment
    from wan_tui.core.runtime.state import DeploymentStatus
    from wan_tui.core.runtime.timeline import Timeline
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

WIDE = 120
ASK_SECONDS = 5.0
_CHART_ROWS = 7


class DeploymentPage(DeploymentKeys, DetailScreen):
    """One column that the cursor pages through; two beside each other where there is room."""

    mode = "deployments"
    title_of_keys = "One deployment"
    CSS_PATH = "planning.tcss"
    AUTO_FOCUS = "#page-left"
    first_keys = ("apply", "load", "unload", "pin", "profile", "validate")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a,enter", "apply", "apply remedy", tooltip="Show the change that the remedy makes", id="plan.apply"),
    ]

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self._deployment = name
        self._left = SelectableRows(id="page-left", ascii_only=session.ascii_only)
        self._right = SelectableRows(id="page-right", ascii_only=session.ascii_only)
        self._timeline: Timeline | None = None
        self._planned: Assessment | None = None
        self._judged: object = None
        self._asked_at: float | None = None

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal(id="page"):
            yield self._left
            yield self._right

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._ask(snapshot)
        wide = self.size.width >= WIDE
        self._right.display = wide
        self._left.show(partial(self._left_side, snapshot, wide))
        self._right.show(partial(self._right_side, snapshot))

    def on_resize(self) -> None:
        self.redraw()

    def on_selectable_rows_moved(self, message: SelectableRows.Moved) -> None:
        self.refresh_bindings()

    # -- what is asked of the engine, now and then

    def _ask(self, snapshot: Snapshot) -> None:
        deployment = snapshot.deployment(self._deployment)
        if deployment is None:
            return
        # A new plan or clip is a new estimate; memory over time is read anew every few seconds.
        judged = (deployment.compatibility.plan, deployment.defaults, deployment.state)
        if judged != self._judged:
            self._judged = judged
            question = Question(deployment=self._deployment, remedies=False)
            self.session.ask(
                f"estimate of {self._deployment}", lambda client: client.assess([question]), self._assessed, self._quiet
            )
        if self._asked_at is None or not 0 <= snapshot.taken_at - self._asked_at < ASK_SECONDS:
            self._asked_at = snapshot.taken_at
            self.session.ask(
                f"memory of {self._deployment}",
                lambda client: client.timeline(self._deployment),
                self._told,
                self._quiet,
            )

    def _assessed(self, answers: tuple[Assessment, ...]) -> None:
        self._planned = answers[0]
        self.redraw()

    def _told(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.redraw()

    def _quiet(self, _reason: str) -> None:
        """The page says that nothing is known; an engine that is gone has its banner."""

    # -- drawing

    def _left_side(self, snapshot: Snapshot, wide: bool, view: View) -> Frame:
        deployment = snapshot.deployment(self._deployment)
        if deployment is None:
            gone = f"   {self._deployment} is no longer configured"
            return Frame((), (Row(pad(text(gone, Role.WARN), view.width)),))
        width = view.width - 4
        found = [sections.about(snapshot, deployment, width)]
        if (help_ := sections.remedies(deployment, width)) is not None:
            found.append(help_)
        if not wide:
            found += self._of_memory_and_time(snapshot, deployment, width, _CHART_ROWS)
        found.append(sections.findings(deployment, width))
        if not wide:
            found.append(sections.worker_log(snapshot, deployment, width))
        return sections.page(found, view)

    def _right_side(self, snapshot: Snapshot, view: View) -> Frame:
        deployment = snapshot.deployment(self._deployment)
        if deployment is None:
            return Frame()
        width = view.width - 4
        rows = max(min(view.height // 3, 16), _CHART_ROWS)
        found = self._of_memory_and_time(snapshot, deployment, width, rows)
        found.append(sections.worker_log(snapshot, deployment, width))
        return sections.page(found, view)

    def _of_memory_and_time(
        self, snapshot: Snapshot, deployment: DeploymentStatus, width: int, rows: int
    ) -> list[sections.Section]:
        free = sections.free_bytes(deployment)
        job = sections.stages_job(snapshot, deployment)
        return [
            sections.memory(deployment, self._timeline, self._asked_at or snapshot.taken_at, width, rows, free),
            sections.stages(job, self._planned, width),
        ]

    # -- remedies

    def selected_deployment(self) -> str | None:
        snapshot = self.session.snapshot
        return self._deployment if snapshot is not None and snapshot.deployment(self._deployment) is not None else None

    def _remedy(self) -> Remedy | None:
        """The one under the cursor, else the first that is a change of the configuration."""
        deployment = self._selected()
        remedies = deployment.compatibility.remedies if deployment is not None else ()
        kind, _, number = (self._left.cursor or "").partition(":")
        if kind == "remedy" and int(number) < len(remedies):
            return remedies[int(number)]
        return next((remedy for remedy in remedies if remedy.changes), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "apply":
            return self._remedy() is not None
        return super().check_action(action, parameters)

    def action_apply(self) -> None:
        remedy = self._remedy()
        if remedy is None:
            return
        if not remedy.changes:
            self.session.say(f"{remedy.title}: that is done on the host, not in the configuration", Role.WARN)
            return
        promise = f"Then it is {words(remedy.verdict)} with {format_bytes(remedy.headroom_bytes)} of headroom"
        promise += f", about {format_seconds(remedy.seconds)} a clip." if remedy.seconds is not None else "."
        what = ", ".join(f"{key} {value}" for key, value in remedy.changes)
        propose(
            self,
            f"{what} for {self._deployment}",
            of_deployment(self._deployment, *remedy.changes),
            consequence=promise,
        )

    def home(self) -> LiveRows:
        return self._left
