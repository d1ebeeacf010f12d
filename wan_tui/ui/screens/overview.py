"""Devices, deployments and the job to watch: the screen to keep open."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from wan_tui.ui import format_alerts, format_deployments, format_devices, format_jobs
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.text import share_rows
from wan_tui.ui.widgets.preview import PreviewView
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.widget import Widget

    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

WIDE = 120


class OverviewScreen(BaseScreen):
    """One column on a small terminal; with room, details, preview, jobs and events beside them."""

    mode = "overview"
    CSS_PATH = "overview.tcss"
    AUTO_FOCUS = "#deployments"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("W", "init", "write config", tooltip="Write a configuration, when there is none", id="config.init"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        ascii_only = session.ascii_only
        self._alerts = SelectableRows(id="alerts", ascii_only=ascii_only)
        self._devices = SelectableRows(id="devices", ascii_only=ascii_only, opens=True)
        self._deployments = SelectableRows(id="deployments", ascii_only=ascii_only, opens=True)
        self._detail = self.rows("detail")
        self._job = self.rows("job")
        self._preview = PreviewView(id="overview-preview", colour=session.colour, ascii_only=ascii_only)
        self._jobs = self.rows("recent")
        self._models = self.rows("models")
        self._events = self.rows("events")

    def compose_body(self) -> Iterable[Widget]:
        yield self._alerts
        yield self._devices
        with Horizontal(id="middle"):
            with Vertical(id="left"):
                yield self._deployments
                yield self._detail
            with Vertical(id="right"):
                yield self._job
                yield self._preview
        with Horizontal(id="bottom"):
            with Vertical(id="lists"):
                yield self._jobs
                yield self._models
            yield self._events

    def show_snapshot(self, snapshot: Snapshot) -> None:
        wide = self.size.width >= WIDE
        job = format_jobs.job_to_watch(snapshot)
        self._alerts.display = bool(snapshot.alerts)
        self._alerts.show(partial(format_alerts.alerts, snapshot))
        self._devices.show(partial(format_devices.devices, snapshot, self.session.traces))
        if self._deployments.cursor is None and (first := format_deployments.preferred(snapshot)) is not None:
            self._deployments.select(first.name)
        self._deployments.show(partial(format_deployments.deployments, snapshot, explain=not wide))
        self._detail.show(partial(format_deployments.deployment_detail, snapshot, self._deployments.cursor))
        hint = format_deployments.next_step(snapshot)
        if job is None and hint:
            self._job.show(partial(format_deployments.welcome, snapshot, hint))
        else:
            self._job.show(partial(format_jobs.job_panel, snapshot, job, hint, full=wide))
        self._preview.show(job.preview if job else None)
        self._preview.display = wide and self._preview.has_picture and not self.session.options.slow_link
        self._jobs.show(partial(format_jobs.job_list, snapshot))
        self._models.show(partial(format_deployments.models, snapshot))
        self._events.show(partial(format_jobs.events, snapshot))

        self._arrange(wide)

    def _arrange(self, wide: bool) -> None:
        """In one column everything gets its least first, then the job, deployments, devices and alerts what is left.

        Blank lines only where rows are left.
        """
        sections = (self._job, self._deployments, self._devices, self._alerts)
        body = self.body
        wanted = [len(section.lines) if section.display else 0 for section in sections]
        spare = body.size.height - sum(wanted)
        body.set_class(not wide and spare >= 6, "-roomy")
        limits: Sequence[int | str] = ("100%", "100%", "40%", "20%")
        if not wide:
            limits = share_rows(body.size.height, wanted, (3, 4, 4, 2))
        for section, limit in zip(sections, limits, strict=True):
            section.styles.max_height = limit

    def on_resize(self) -> None:
        self.redraw()

    def on_selectable_rows_moved(self, message: SelectableRows.Moved) -> None:
        if message.rows is self._deployments:
            self.redraw()

    def on_selectable_rows_opened(self, message: SelectableRows.Opened) -> None:
        if message.rows is self._devices and message.key != format_devices.HOST_KEY:
            self.open_in("gpus", message.key)
        elif message.rows is self._deployments:
            self.open_in("deployments", message.key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "init":
            snapshot = self.session.snapshot
            return snapshot is not None and not snapshot.config.exists
        return super().check_action(action, parameters)

    def action_init(self) -> None:
        snapshot = self.session.snapshot
        if snapshot is not None and not snapshot.config.exists:
            about = f"{snapshot.config.file}: every setting with its default, commented out. Nothing changes by it."
            self.confirm(
                "Write a configuration file?",
                about,
                lambda: self.session.perform("config init", lambda client: client.init_configuration()),
            )

    def selected_deployment(self) -> str | None:
        return self._deployments.cursor

    def home(self) -> LiveRows:
        return self._deployments
