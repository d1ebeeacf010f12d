"""Write the history to a file here: the same text as ``wan-tui history --csv`` or ``--json``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from wan_tui.core import atomic
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.ui import glyphs
from wan_tui.ui.screens.confirm import Confirm
from wan_tui.ui.text import Frame, Role, View, pad, text, wrap
from wan_tui.ui.widgets.rows import LiveRows

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wan_tui.agent.client import Client
    from wan_tui.core.runtime.past import PastFilter
    from wan_tui.ui.session import Session

_FORMS = {".csv": "csv", ".json": "json"}


def target(typed: str) -> tuple[Path, str]:
    """The file, whole, and its form. Raises UsageError for a name that says no form or a folder that is none."""
    if not typed.strip():
        raise UsageError("type the name of a file that ends in .csv or .json")
    path = Path(typed.strip()).expanduser().absolute()
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise UsageError(f"{path.name}: end the name in .csv or .json, which says what is written")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} does not exist: create the folder first")
    return path, form


class Export(ModalScreen[None]):
    """Asks for a name; over a file that is there it asks again."""

    CSS_PATH = "jobs.tcss"
    AUTO_FOCUS = "#export-path"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close", tooltip="Write nothing", id="export.close"),
    ]

    def __init__(self, chosen: PastFilter, number: int, session: Session) -> None:
        super().__init__()
        self._chosen = chosen
        self._number = number
        self._session = session
        self._input = Input("~/wan-tui-history.csv", id="export-path", compact=True)
        self._input.cursor_blink = False
        self._about = LiveRows(id="export-about", ascii_only=session.ascii_only)
        self._problem: str | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="export") as page:
            page.border_title = "Write the history to a file"
            page.border_subtitle = "enter write, esc leave"
            yield self._input
            yield self._about

    def on_mount(self) -> None:
        self._about.show(self._lines)

    def _lines(self, view: View) -> Frame:
        what = f"{self._number} loads and runs, a line for every stage (.csv) or all in one list (.json)."
        lines = [text(part, Role.DIM) for part in wrap(what, view.width)]
        if self._problem is not None:
            lines += [text(part, Role.ERROR) for part in wrap(f"{glyphs.CROSS} {self._problem}", view.width, most=3)]
        return Frame(tuple(pad(line, view.width) for line in lines))

    @on(Input.Changed)
    def _typed(self) -> None:
        self._tell(None)

    def _tell(self, problem: str | None) -> None:
        self._problem = problem
        self._about.show(self._lines)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        try:
            path, form = target(self._input.value)
        except UsageError as error:
            self._tell(str(error))
            return
        if not path.exists():
            self._write(path, form)
            return
        about = f"{path} exists. What is in it now is lost."
        self.app.push_screen(
            Confirm(f"Write over {path.name}?", about, self._session),
            lambda answer: self._write(path, form) if answer else None,
        )

    def _write(self, path: Path, form: str) -> None:
        write_history(self._session, self._chosen, path, form)
        self.dismiss(None)

    def action_close(self) -> None:
        self.dismiss(None)


def write_history(session: Session, chosen: PastFilter, path: Path, form: str) -> None:
    """Ask the engine for the text and write it whole, off the event loop; say how it went."""

    async def work(client: Client) -> str:
        content = await client.past_text(chosen, form)
        try:
            await asyncio.to_thread(atomic.replace, path, content.encode())
        except OSError as error:
            raise WanTuiError(f"{path} cannot be written: {error.strerror}") from None
        return str(path)

    session.perform("export", work)
