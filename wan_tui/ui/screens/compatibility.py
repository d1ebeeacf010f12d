"""What fits where: every model and profile on this host and on any GPU of the table, for any clip."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal

from wan_tui.agent.changes import Change, Setting
from wan_tui.ui import cards, format_matrix, what_if
from wan_tui.ui.changing import propose
from wan_tui.ui.format_matrix import Cell
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.text import Role
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows
from wan_tui.ui.widgets.slider import Slider

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.timer import Timer
    from textual.widget import Widget

    from wan_tui.core.planning.questions import Assessment
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

SETTLE_SECONDS = 0.25  # a key that is held down asks once, when it is let go
FIRST_CARD = "RTX 4090 24G"


class CompatibilityScreen(BaseScreen):
    """Sliders, the matrix, and the cell under the cursor in full. Planning is the engine's: nothing waits for it."""

    mode = "compatibility"
    CSS_PATH = "planning.tcss"
    AUTO_FOCUS = "#matrix"
    first_keys = ("column", "use", "filter")
    widgets_with_keys = (Slider,)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "column(-1)", "column", show=False, tooltip="The GPU to the left", id="matrix.left"),
        Binding("right", "column(1)", "column", show=False, tooltip="The GPU to the right", id="matrix.right"),
        Binding("a", "use", "use profile", tooltip="Give the model's deployments this profile", id="matrix.use"),
        Binding("s", "sliders", "size", tooltip="Go to size, frames, steps and card", id="matrix.sliders"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        ascii_only = session.ascii_only
        self._sides = Slider("SIZE", id="size", ascii_only=ascii_only)
        self._frames = Slider("FRAMES", id="frames", ascii_only=ascii_only)
        self._steps = Slider("STEPS", id="steps", ascii_only=ascii_only)
        self._card = Slider("CARD", id="card", ascii_only=ascii_only)
        self._sides.set_values(what_if.SIZES)
        self._frames.set_values(what_if.FRAMES)
        self._steps.set_values(what_if.STEPS)
        self._card.set_values(tuple(cards.cards()), FIRST_CARD)
        self._matrix = SelectableRows(id="matrix", ascii_only=ascii_only)
        self._legend = self.rows("legend")
        self._answer = self.rows("cell-answer")
        self._shape = what_if.Shape()
        self._places = what_if.places(cards.usual(), FIRST_CARD, cards.cards())
        self._rows: tuple[tuple[str, str], ...] = ()
        self._column = 0
        self._answers: dict[Cell, Assessment] = {}
        self._full: dict[Cell, Assessment] = {}
        self._host: tuple[object, ...] = ()
        self._asking = False
        self._problem: str | None = None
        self._settling: Timer | None = None

    def compose_body(self) -> Iterable[Widget]:
        with Container(id="sliders"):
            yield from (self._sides, self._frames, self._steps, self._card)
        with Horizontal(id="what-if"):
            yield self._matrix
            yield self._answer
        yield self._legend

    # -- drawing

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._rows = what_if.rows(snapshot)
        host = what_if.state_of_host(snapshot)
        if host != self._host:
            self._host = host
            self._forget(lambda cell: cell.place.gpu is None)
        self._draw()
        if self._settling is None:
            self._ask()

    def _draw(self) -> None:
        self._matrix.show(
            lambda view: format_matrix.matrix(
                self._rows, self._places, self._column, self._answers, self._said_of_work(), view
            )
        )
        cell = self._cell()
        answer = self._full.get(cell) or self._answers.get(cell) if cell is not None else None
        self._answer.show(partial(format_matrix.answer_lines, cell, answer, self._problem))
        self._legend.show(format_matrix.legend)

    def _said_of_work(self) -> str:
        if self._problem is not None:
            return "not planned"
        left = len(self._missing())
        return f"planning, {left} to go" if left else ""

    def on_resize(self) -> None:
        self.redraw()

    def _cell(self) -> Cell | None:
        row = format_matrix.of_row(self._matrix.cursor, self._rows)
        return Cell(*row, self._places[self._column]) if row is not None else None

    # -- asking

    def _shown(self) -> Sequence[format_matrix.Place]:
        width = self._matrix.size.width
        return [place for _, place in format_matrix.shown_places(self._places, width, self._column)]

    def _missing(self) -> list[Cell]:
        first = format_matrix.of_row(self._matrix.cursor, self._rows)
        return what_if.missing(self._rows, self._shown(), first, self._answers)

    def _ask(self) -> None:
        """One question list at a time: whatever changes meanwhile is in the next."""
        self._settling = None
        if self._asking or not self._composed or not self.is_current:
            return
        shape, cells, remedies = self._shape, self._missing()[: what_if.AT_ONCE], False
        if not cells:
            cell = self._cell()
            answer = self._answers.get(cell) if cell is not None else None
            if cell is None or answer is None or cell in self._full or (answer.compatibility.headroom_bytes or 0) > 0:
                return
            cells, remedies = [cell], True
        self._asking = True
        questions = [what_if.question(cell, shape, remedies=remedies) for cell in cells]

        def answered(found: tuple[Assessment, ...]) -> None:
            self._asking, self._problem = False, None
            if shape == self._shape:
                (self._full if remedies else self._answers).update(zip(cells, found, strict=True))
            self._draw()
            self._ask()

        def failed(reason: str) -> None:
            self._asking = False
            if reason != self._problem:
                self._problem = reason
                self.session.say(f"compatibility: {reason}", Role.ERROR)
            self._draw()

        self.session.ask("compatibility", lambda client: client.assess(questions), answered, failed)

    def _settle(self) -> None:
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLE_SECONDS, self._ask)
        self._draw()

    def _forget(self, which: object) -> None:
        assert callable(which)
        for known in (self._answers, self._full):
            for cell in [cell for cell in known if which(cell)]:
                del known[cell]

    # -- what the reader changes

    def on_slider_changed(self, message: Slider.Changed) -> None:
        if message.slider is self._card:
            chosen = self._places[self._column]
            self._places = what_if.places(cards.usual(), self._card.value, cards.cards())
            self._column = self._places.index(chosen) if chosen in self._places and self._column != 1 else 1
        else:
            self._shape = what_if.shape_of(self._sides.value, self._frames.value, self._steps.value)
            self._forget(lambda cell: True)
        self._settle()

    def on_selectable_rows_moved(self, message: SelectableRows.Moved) -> None:
        self._settle()
        self.refresh_bindings()

    def action_column(self, by: int) -> None:
        self._column = min(max(self._column + by, 0), len(self._places) - 1)
        self._settle()

    def action_sliders(self) -> None:
        self.set_focus(self._sides)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "use":
            return bool(self._deployments())
        return super().check_action(action, parameters)

    def _deployments(self) -> list[str]:
        """Deployments of the model under the cursor that have another profile."""
        row, snapshot = format_matrix.of_row(self._matrix.cursor, self._rows), self.session.snapshot
        if row is None or snapshot is None:
            return []
        return [d.name for d in snapshot.deployments if d.model == row[0] and d.profile != row[1]]

    def action_use(self) -> None:
        names, row = self._deployments(), format_matrix.of_row(self._matrix.cursor, self._rows)
        if not names or row is None:
            return
        change = Change(settings=tuple(Setting(("deployments", name, "profile"), row[1]) for name in names))
        propose(self, f"profile {row[1]} for {', '.join(names)}", change)

    def home(self) -> LiveRows:
        return self._matrix
