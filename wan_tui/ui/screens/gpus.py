"""Every GPU, and all about the selected one: figures, processes, the last hour."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.containers import Horizontal, Vertical

from wan_tui.ui import format_devices, format_gpu
from wan_tui.ui.screens.base import BaseScreen, DetailScreen
from wan_tui.ui.text import share_rows
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.widget import Widget

    from wan_tui.core.hardware.processes import ProcessDetail
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

ASK_AGAIN_SECONDS = 5.0


class GpuPanels:
    """The parts about one GPU, shared by the tab and the page that Enter opens."""

    def __init__(self, screen: BaseScreen) -> None:
        self._session = screen.session
        self._screen = screen
        self.facts = screen.rows("gpu-facts")
        self.processes = SelectableRows(id="gpu-processes", ascii_only=screen.session.ascii_only)
        self.graphs = screen.rows("gpu-graphs")
        self._known: dict[int, ProcessDetail] = {}
        self._asked: tuple[str, frozenset[int], float] = ("", frozenset(), 0.0)

    def show(self, snapshot: Snapshot, uuid: str | None) -> None:
        self._ask(snapshot, uuid)
        self.facts.show(partial(format_gpu.facts, snapshot, uuid))
        self.processes.show(partial(format_gpu.processes, snapshot, uuid, self._known))
        self.graphs.show(partial(format_gpu.graphs, snapshot, uuid, self._session.traces))

    def _ask(self, snapshot: Snapshot, uuid: str | None) -> None:
        """Who the processes are, when others came; the course before we looked, once."""
        gpu = format_gpu.find(snapshot, uuid)
        if gpu is None:
            return
        self._session.ask_course(gpu.uuid, self._screen.redraw)
        pids = frozenset(process.pid for process in gpu.processes or ())
        asked, before, at = self._asked
        if pids <= self._known.keys() or (
            (asked, before) == (gpu.uuid, pids) and self._session.clock() - at < ASK_AGAIN_SECONDS
        ):
            return
        self._asked = (gpu.uuid, pids, self._session.clock())
        self._session.ask("processes", lambda client: client.gpu_processes(gpu.uuid), self._learn, lambda reason: None)

    def _learn(self, details: tuple[ProcessDetail, ...]) -> None:
        self._known.update((detail.pid, detail) for detail in details)
        self._screen.redraw()


class GpusScreen(BaseScreen):
    """The list above; figures and processes of the selected GPU below, the last hour beside or below them."""

    mode = "gpus"
    CSS_PATH = "gpus.tcss"
    AUTO_FOCUS = "#gpus"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._list = SelectableRows(id="gpus", ascii_only=session.ascii_only, opens=True)
        self._panels = GpuPanels(self)

    def compose_body(self) -> Iterable[Widget]:
        yield self._list
        with Horizontal(id="gpu-detail"):
            with Vertical(id="gpu-left"):
                yield self._panels.processes
                yield self._panels.facts
            yield self._panels.graphs

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._list.show(partial(format_devices.devices, snapshot, self.session.traces))
        self._panels.show(snapshot, self._list.cursor)
        limits: Sequence[int | str] = share_rows(self.body.size.height, [len(self._list.lines)], [10])
        self._list.styles.max_height = min(int(limits[0]), self.body.size.height * 2 // 5)

    def on_resize(self) -> None:
        self.redraw()

    def on_selectable_rows_moved(self, message: SelectableRows.Moved) -> None:
        if message.rows is self._list:
            self.redraw()

    def on_selectable_rows_opened(self, message: SelectableRows.Opened) -> None:
        if message.rows is self._list:
            self.open_item(message.key)

    def open_item(self, key: str) -> None:
        snapshot = self.session.snapshot
        if snapshot is not None and (gpu := format_gpu.find(snapshot, key)) is not None:
            self._list.select(key)
            self.app.push_screen(GpuPage(self.session, f"GPU {gpu.index}", gpu.uuid))

    def home(self) -> LiveRows:
        return self._list


class GpuPage(DetailScreen):
    """One GPU on the whole screen."""

    mode = "gpus"
    title_of_keys = "One GPU"
    CSS_PATH = "gpus.tcss"
    AUTO_FOCUS = "#gpu-processes"

    def __init__(self, session: Session, crumb: str, uuid: str) -> None:
        super().__init__(session, crumb)
        self._uuid = uuid
        self._panels = GpuPanels(self)

    def compose_body(self) -> Iterable[Widget]:
        yield self._panels.facts
        yield self._panels.processes
        yield self._panels.graphs

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._panels.show(snapshot, self._uuid)

    def on_resize(self) -> None:
        self.redraw()

    def home(self) -> LiveRows:
        return self._panels.processes
