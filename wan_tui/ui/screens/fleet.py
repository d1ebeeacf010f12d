"""Other hosts, as the configuration names them: how to look at each from here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.text import (
    Column,
    Frame,
    Line,
    Role,
    Row,
    Span,
    View,
    clean,
    fit_columns,
    marked,
    pad,
    rule,
    table_head,
    table_line,
    text,
    wrap,
)
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.widget import Widget

    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

HOW_TO = (
    "No other hosts are named in the configuration.",
    "",
    "[ui]",
    'hosts = ["render-02", "wan@render-03"]',
    "",
    "names them as ssh takes them; they are listed here then. One host alone: wan-tui --host render-02.",
    "All hosts in one picture, over time: Prometheus and the dashboards under grafana/; it scrapes every exporter.",
)


class FleetScreen(BaseScreen):
    """This host and those of ``[ui] hosts``. Enter copies the command that attaches to one."""

    mode = "fleet"
    AUTO_FOCUS = "#fleet"
    CSS_PATH = "fleet.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "copy command", tooltip="Copy the command that attaches to this host", id="fleet.copy"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._hosts = SelectableRows(id="fleet", ascii_only=session.ascii_only, opens=True)

    def compose_body(self) -> Iterable[Widget]:
        yield self._hosts

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._hosts.show(partial(fleet, snapshot, self.session.options.hosts))

    def on_selectable_rows_opened(self, message: SelectableRows.Opened) -> None:
        self.action_copy()

    def action_copy(self) -> None:
        host = self._hosts.cursor
        if host is None or host not in self.session.options.hosts:
            return
        command = f"wan-tui --host {host}"
        self.app.copy_to_clipboard(command)
        self.session.say(f"copied, if the terminal lets us: {command}")

    def home(self) -> LiveRows:
        return self._hosts


def fleet(snapshot: Snapshot, hosts: Sequence[str], view: View) -> Frame:
    """This host first; without others, how to name them."""
    columns = (
        Column("HOST", min(max(len(name) for name in (snapshot.host.hostname, *hosts, "HOST")), 40)),
        Column("GPUS", 14, 1),
        Column("DEPLOYMENTS", 14, 2),
        Column("ALERTS", 8, 3),
        Column("ATTACH WITH", 24, grow=True, limit=60),
    )
    fitted = fit_columns(columns, view.width - 4)
    lost = sum(not gpu.up for gpu in snapshot.gpus)
    loaded = sum(d.worker is not None and d.worker.up for d in snapshot.deployments)
    here = (
        text(clean(snapshot.host.hostname), Role.STRONG),
        text(f"{len(snapshot.gpus)}" + (f" ({lost} lost)" if lost else "")),
        text(f"{loaded} of {len(snapshot.deployments)} up"),
        text(str(len(snapshot.alerts)), Role.WARN if snapshot.alerts else Role.TEXT),
        text("this host", Role.DIM),
    )
    rows = [_row(table_line(fitted, columns, here), snapshot.host.hostname, view)]
    for host in hosts:
        cells = (text(clean(host), Role.STRONG), (), (), (), text(f"wan-tui --host {clean(host)}", Role.DIM))
        rows.append(_row(table_line(fitted, columns, cells), host, view))
    if not hosts:
        rows.append(Row(pad((), view.width)))
        for paragraph in HOW_TO:
            for part in wrap(paragraph, view.width - 6) or [""]:
                rows.append(Row(pad((Span("   "), Span(part, Role.DIM)), view.width)))
    head = (Span("   "), *table_head(fitted, columns))
    many = text(f"{len(hosts)} named in the configuration", Role.DIM)
    return Frame((rule("FLEET", many, view), pad(head, view.width)), tuple(rows))


def _row(line: Line, key: str, view: View) -> Row:
    return Row(pad(marked(line, view.focused and view.cursor == key), view.width), key)
