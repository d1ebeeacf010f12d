"""Every deployment: what it is wanted to be, what it is, whether it fits; Enter opens one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wan_tui.ui import format_deployment_page, format_deployments
from wan_tui.ui.screens.deployment_keys import DeploymentKeys
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session


class DeploymentsScreen(DeploymentKeys):
    """The list, and below it what is known about the selected one."""

    mode = "deployments"
    CSS_PATH = "planning.tcss"
    AUTO_FOCUS = "#deployment-list"
    first_keys = ("open", "load", "unload", "pin", "profile", "validate")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._list = SelectableRows(id="deployment-list", ascii_only=session.ascii_only, opens=True)
        self._detail = self.rows("deployment-detail")

    def compose_body(self) -> Iterable[Widget]:
        yield self._list
        yield self._detail

    def show_snapshot(self, snapshot: Snapshot) -> None:
        if self._list.cursor is None and (first := format_deployments.preferred(snapshot)) is not None:
            self._list.select(first.name)
        self._list.show(partial(format_deployment_page.deployment_list, snapshot))
        self._detail.show(partial(format_deployments.deployment_detail, snapshot, self._list.cursor))

    def on_resize(self) -> None:
        self.redraw()

    def on_selectable_rows_moved(self, message: SelectableRows.Moved) -> None:
        self.redraw()

    def on_selectable_rows_opened(self, message: SelectableRows.Opened) -> None:
        self.open_item(message.key)

    def open_item(self, key: str) -> None:
        from wan_tui.ui.screens.deployment import DeploymentPage

        self._list.select(key)
        self.app.push_screen(DeploymentPage(self.session, key))

    def open_for(self, deployment: str | None) -> None:
        if deployment is not None:
            self._list.select(deployment)

    def selected_deployment(self) -> str | None:
        return self._list.cursor

    def home(self) -> LiveRows:
        return self._list
