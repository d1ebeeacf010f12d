"""Choose a picture on the engine's host: a path with completion, a list of the folder, and what the picture shows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from wan_tui.core.runtime.state import Preview
from wan_tui.core.units import format_bytes
from wan_tui.ui import glyphs
from wan_tui.ui.text import Frame, Line, Role, Row, Span, View, clean, join, marked, pad, text, wrap
from wan_tui.ui.widgets.preview import PreviewView
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wan_tui.core.folder import Entry, Folder
    from wan_tui.core.reel import Reel
    from wan_tui.ui.session import Session

_DEBOUNCE_SECONDS = 0.2
_UP = ".."


def split(typed: str) -> tuple[str, str]:
    """The folder that ``typed`` is in, and the beginning of a name there."""
    folder, slash, name = typed.rpartition("/")
    return (folder or "/", name) if slash else ("", typed)


def beginning_with(entries: tuple[Entry, ...], name: str) -> list[Entry]:
    return [entry for entry in entries if entry.name.casefold().startswith(name.casefold())]


def entries_list(folder: Folder | None, name: str, problem: str | None, view: View) -> Frame:
    """The folder above, then what begins as typed; folders end with a slash."""
    if problem is not None:
        return Frame(
            (), tuple(Row(pad(text(f" {part}", Role.ERROR), view.width)) for part in wrap(problem, view.width - 2))
        )
    if folder is None:
        return Frame((), (Row(pad(text(" reading the folder", Role.DIM), view.width)),))
    rows = [Row(pad(marked(text(f"{_UP}/", Role.DIM), view.focused and view.cursor == _UP), view.width), _UP)]
    for entry in beginning_with(folder.entries, name):
        shown = f"{clean(entry.name)}/" if entry.size is None else clean(entry.name)
        size = "" if entry.size is None else format_bytes(entry.size)
        line = pad(text(shown, Role.DIM if entry.size is None else Role.TEXT), max(view.width - 4 - 10, 8))
        selected = view.focused and view.cursor == entry.name
        rows.append(Row(pad(marked((*line, Span(f"{size:>10}", Role.DIM)), selected), view.width), entry.name))
    if folder.left_out:
        rows.append(Row(pad(text(f"   {folder.left_out} more are left out", Role.DIM), view.width)))
    return Frame((), tuple(rows))


class Picker(ModalScreen[str | None]):
    """Answers the whole path of a picture, or None."""

    CSS_PATH = "picker.tcss"
    AUTO_FOCUS = "#picker-path"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close", tooltip="Leave the picture as it was", id="picker.close"),
        Binding("tab", "complete", "complete", priority=True, tooltip="Complete the path", id="picker.complete"),
        Binding("down", "to_list", "list", show=False, tooltip="From the path into the list", id="picker.list"),
    ]

    def __init__(self, start: str, session: Session) -> None:
        super().__init__()
        self._session = session
        self._start = start
        self._input = Input(id="picker-path", compact=True, placeholder="path of a picture")
        self._input.cursor_blink = False
        self._list = SelectableRows(id="picker-list", ascii_only=session.ascii_only, opens=True)
        self._about = LiveRows(id="picker-about", ascii_only=session.ascii_only)
        self._picture = PreviewView(id="picker-picture", colour=session.colour, ascii_only=session.ascii_only)
        self._folder: Folder | None = None
        self._asked_for: str | None = None
        self._problem: str | None = None
        self._note: Line = ()
        self._shown: str | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="picker") as page:
            page.border_title = "Choose a picture"
            page.border_subtitle = "tab complete, down list, enter choose, esc leave"
            yield self._input
            with Horizontal():
                yield self._list
                with Vertical(id="picker-side"):
                    yield self._picture
                    yield self._about

    def on_mount(self) -> None:
        self._set(self._start)
        self._ask_folder(split(self._start)[0])

    # -- the folder

    def _set(self, path: str) -> None:
        self._input.value = path
        self._input.cursor_position = len(path)

    def _ask_folder(self, folder: str) -> None:
        if folder == self._asked_for:
            return
        self._asked_for, self._folder, self._problem = folder, None, None
        self._session.ask("folder", lambda client: client.folder(folder), self._arrived, self._failed)
        self._redraw()

    def _arrived(self, folder: Folder) -> None:
        if not self.is_attached:
            return
        self._folder = folder
        if not self._input.value or self._input.value.startswith("~"):  # now it is known where that is
            name = split(self._input.value)[1] if "/" in self._input.value else ""
            self._asked_for = folder.path
            self._set(f"{folder.path.rstrip('/')}/{name}")
        self._redraw()

    def _failed(self, reason: str) -> None:
        if self.is_attached:
            self._problem = reason
            self._redraw()

    @property
    def _typed_name(self) -> str:
        return split(self._input.value)[1]

    def _redraw(self) -> None:
        self._list.show(partial(entries_list, self._folder, self._typed_name, self._problem))
        self._about.show(self._about_lines)

    @on(Input.Changed)
    def _typed(self) -> None:
        folder = split(self._input.value)[0]
        if folder != self._asked_for:
            self._ask_folder(folder)
        else:
            self._redraw()

    def action_complete(self) -> None:
        """As far as the names there agree; into the folder when there is only one."""
        if self.focused is self._list:
            self.set_focus(self._input)
            return
        found = beginning_with(self._folder.entries, self._typed_name) if self._folder is not None else []
        if not found:
            return
        common = found[0].name
        for entry in found[1:]:
            while not entry.name.casefold().startswith(common.casefold()):
                common = common[:-1]
        only = len(found) == 1 and found[0].size is None
        self._enter(common, "/" if only else "")

    def _enter(self, name: str, tail: str) -> None:
        assert self._folder is not None
        self._set(f"{self._folder.path.rstrip('/')}/{name}{tail}")

    def action_to_list(self) -> None:
        self.set_focus(self._list)

    # -- the picture

    @on(SelectableRows.Moved)
    def _moved(self) -> None:
        self._note, self._shown = (), None
        self._picture.show(None)
        self._redraw()
        if (path := self._chosen()) is not None:
            self.set_timer(_DEBOUNCE_SECONDS, partial(self._ask_picture, path))

    def _chosen(self) -> str | None:
        """The path of the picture under the cursor."""
        if self._folder is None:
            return None
        for entry in self._folder.entries:
            if entry.name == self._list.cursor and entry.size is not None:
                return f"{self._folder.path.rstrip('/')}/{entry.name}"
        return None

    def _ask_picture(self, path: str) -> None:
        if path != self._chosen() or path == self._shown:
            return  # the cursor went on
        self._shown = path
        width, height = self._picture.size.width, self._picture.size.height * 2
        self._session.ask(
            "picture",
            lambda client: client.reel(path, width, height),
            self._picture_arrived,
            lambda reason: self._say((Span(f"{glyphs.CROSS} {reason}", Role.ERROR),)),
        )

    def _picture_arrived(self, reel: Reel) -> None:
        if self.is_attached and reel.path == self._chosen():
            self._picture.show(Preview(reel.width, reel.height, reel.frames[0]))
            self._say(text(f"{reel.source_width}{glyphs.TIMES}{reel.source_height}", Role.DIM))

    def _say(self, line: Line) -> None:
        self._note = line
        if self.is_attached:
            self._redraw()

    def _about_lines(self, view: View) -> Frame:
        return Frame(
            tuple(
                pad(text(part, span.role), view.width)
                for span in join([self._note])
                for part in wrap(span.text, view.width, most=4)
            )
        )

    # -- the answer

    @on(Input.Submitted)
    def _submitted(self) -> None:
        path = self._input.value.strip()
        entries = self._folder.entries if self._folder is not None else ()
        if any(entry.name == self._typed_name and entry.size is None for entry in entries):
            self._enter(self._typed_name, "/")
        elif path.endswith("/"):
            self.action_to_list()
        elif path:
            self.dismiss(path)

    @on(SelectableRows.Opened)
    def _opened(self, message: SelectableRows.Opened) -> None:
        if self._folder is None:
            return
        if message.key == _UP:
            above = self._folder.path.rpartition("/")[0]
            self._set(f"{above}/")
        elif (path := self._chosen()) is not None:
            self.dismiss(path)
        else:
            self._enter(message.key, "/")

    def action_close(self) -> None:
        self.dismiss(None)
