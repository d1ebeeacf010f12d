"""The one widget for everything live: lines in, and only the lines that differ go out to the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from wan_tui.ui.glyphs import to_ascii
from wan_tui.ui.text import Frame, Line, View, changed_cells, filtered, merged, noted
from wan_tui.ui.theme import cursor_style, styles

if TYPE_CHECKING:
    from textual import events

Build = Callable[[View], Frame]


class LiveRows(ScrollView, can_focus=False, inherit_bindings=False):
    """Shows the frame that a function composes for the room there is.

    The function is kept: it is asked again when the size, the cursor or the focus changes.
    """

    def __init__(self, *, id: str, ascii_only: bool = False) -> None:
        super().__init__(id=id)
        self._build: Build = lambda view: Frame()
        self._frame = Frame()
        self.lines: tuple[Line, ...] = ()
        """What is shown, as data."""
        self._width = 0
        self._noted = ""  # what the heading said when it was drawn
        self._lit: int | None = None  # the line that was drawn as the one with the cursor
        self._ascii_only = ascii_only
        self.cursor: str | None = None

    # -- content

    def show(self, build: Build) -> None:
        """Compose anew and repaint the lines that came out different."""
        self._build = build
        self._recompose()

    def _recompose(self) -> None:
        if not self._width:
            return
        old, scrolled = self.lines, self.scroll_offset.y
        self._compose_frame(self._width)
        new = self.lines
        if len(new) != self.virtual_size.height:
            self.virtual_size = Size(self._width, len(new))
            self.refresh(layout=self.styles.is_auto_height)
        lit = self._cursor_line() if self.has_focus else None
        touched = {self._lit, lit} if self._lit != lit else set()
        self._lit = lit
        if self.scroll_offset.y != scrolled:
            return  # scrolling repaints everything
        if self._noted != self._out_of_view():
            touched.add(0)
        for y in range(max(len(old), len(new))):
            if y in touched or y >= len(old) or y >= len(new):
                self._refresh_cells(y, ((0, self.size.width),))
            elif old[y] != new[y]:
                self._refresh_cells(y, changed_cells(old[y], new[y]))

    def _compose_frame(self, width: int) -> None:
        self._frame = self._built(View(width, self.size.height, self.cursor, self.has_focus))
        self.lines = (*self._frame.head, *(row.line for row in self._frame.rows))

    def _built(self, view: View) -> Frame:
        return self._build(view)

    def _refresh_cells(self, y: int, parts: Iterable[tuple[int, int]]) -> None:
        """Paint parts of a line of the content, if it is in view: Textual would paint what is there instead of it."""
        head = len(self._frame.head)
        at = y if y < head else y - self.scroll_offset.y
        if at < self.size.height and (y < head or at >= head):
            for start, end in parts:
                self.refresh(Region(start, at, end - start, 1))

    def _out_of_view(self) -> str:
        """What the heading says of rows that are there and not in view."""
        return ""

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        if width == self._width:
            return len(self.lines)
        # Only measure: layout asks for widths that never come to be, and state set here would ask for layout again.
        head, rows = self._built(View(width, self.size.height, self.cursor, self.has_focus))
        return len(head) + len(rows)

    @property
    def allow_vertical_scroll(self) -> bool:
        """There is no scroll bar, which is what Textual goes by: what is longer than the room scrolls."""
        return self.is_scrollable and self.virtual_size.height > self.size.height

    def on_resize(self, event: events.Resize) -> None:
        self._width = event.size.width
        self._recompose()

    def on_focus(self) -> None:
        self._recompose()

    def on_blur(self) -> None:
        self._recompose()

    # -- drawing

    def render_line(self, y: int) -> Strip:
        head = len(self._frame.head)
        at = y if y < head else y + self.scroll_offset.y
        base = self.rich_style
        if not 0 <= at < len(self.lines):
            return Strip.blank(self.size.width, base)
        if at == self._lit:
            base += cursor_style(self.app.theme)
        roles = styles(self.app.theme)
        line = self.lines[at]
        if y == 0:
            self._noted = self._out_of_view()
            line = noted(line, self._noted) if self._noted else line
        segments = [Segment(self._shown(span.text), base + roles[span.role]) for span in merged(line)]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _shown(self, text: str) -> str:
        return to_ascii(text) if self._ascii_only else text

    def _cursor_line(self) -> int | None:
        return None


class SelectableRows(LiveRows, can_focus=True, inherit_bindings=False):
    """Rows with a cursor. It stays on the thing it is on, not on the row number, when rows come and go.

    With ``follow_first`` a cursor on the first row stays on the first row, as a reader of news wants it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, tooltip="Select the row above", id="rows.up"),
        Binding("down,j", "move(1)", "down", show=False, tooltip="Select the row below", id="rows.down"),
        Binding("pageup,ctrl+u", "page(-1)", "page up", show=False, tooltip="One page up", id="rows.page_up"),
        Binding("pagedown,ctrl+d", "page(1)", "page down", show=False, tooltip="One page down", id="rows.page_down"),
        Binding("home", "end(-1)", "first", show=False, tooltip="Select the first row", id="rows.first"),
        Binding("end,G", "end(1)", "last", show=False, tooltip="Select the last row", id="rows.last"),
        Binding("enter", "open", "open", tooltip="Open the selected row", id="rows.open"),
    ]

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, rows: SelectableRows) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> SelectableRows:
            return self.rows

    class Opened(Message):
        """Enter, or a double click, on the selected row. Only from rows made with ``opens``."""

        def __init__(self, rows: SelectableRows, key: str) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

        @property
        def control(self) -> SelectableRows:
            return self.rows

    def __init__(self, *, id: str, ascii_only: bool = False, follow_first: bool = False, opens: bool = False) -> None:
        super().__init__(id=id, ascii_only=ascii_only)
        self._follow_first = follow_first
        self._opens = opens
        self.filter_text = ""
        self._on_first = True
        self._awaited: str | None = None

    @property
    def keys(self) -> list[str]:
        return [row.key for row in self._frame.rows if row.key is not None]

    @property
    def follows(self) -> bool:
        """Whether the cursor stays on the first row when news come."""
        return self._follow_first and self._on_first

    def select(self, key: str) -> None:
        """Put the cursor on ``key``; a key that is not there yet is taken up when it comes."""
        self._awaited = key if key not in self.keys else None
        if key == self.cursor or self._awaited:
            return
        self.cursor = key
        self._on_first = self.keys[:1] == [key]
        self._recompose()
        self._scroll_to_cursor()
        self.post_message(self.Moved(self))

    def action_move(self, by: int) -> None:
        keys = self.keys
        if keys:
            at = keys.index(self.cursor) if self.cursor in keys else 0
            self.select(keys[min(max(at + by, 0), len(keys) - 1)])

    def action_page(self, by: int) -> None:
        self.action_move(by * max(self.size.height - len(self._frame.head) - 1, 1))

    def action_end(self, by: int) -> None:
        self.action_move(by * len(self._frame.rows))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "open":
            return self._opens and self.cursor is not None and self.cursor in self.keys
        return True

    def action_open(self) -> None:
        if self.cursor is not None:
            self.post_message(self.Opened(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        head = len(self._frame.head)
        at = event.y - head + self.scroll_offset.y
        if event.y < head or not 0 <= at < len(self._frame.rows):
            return
        key = next((row.key for row in reversed(self._frame.rows[: at + 1]) if row.key is not None), None)
        if key is None:
            return
        self.select(key)
        if event.chain == 2 and self._opens:
            self.action_open()

    def set_filter(self, text: str) -> None:
        """Show only rows that have every word of ``text``, in any case; a word after ``!`` must not be there."""
        if text != self.filter_text:
            self.filter_text = text
            self.scroll_to(y=0, animate=False)
            self._recompose()

    def _built(self, view: View) -> Frame:
        return filtered(super()._built(view), self.filter_text, view.width)

    def _compose_frame(self, width: int) -> None:
        super()._compose_frame(width)
        keys, wanted = self.keys, self.cursor
        if not keys:
            return
        if wanted not in keys or (self._follow_first and self._on_first):
            wanted = keys[0]
        if self._awaited in keys:
            wanted, self._awaited = self._awaited, None
        if wanted != self.cursor:
            self.cursor = wanted
            self._on_first = wanted == keys[0]
            super()._compose_frame(width)
            self.post_message(self.Moved(self))

    def _cursor_line(self) -> int | None:
        if self.cursor is None:
            return None
        keys = [row.key for row in self._frame.rows]
        return len(self._frame.head) + keys.index(self.cursor) if self.cursor in keys else None

    def _out_of_view(self) -> str:
        rows, above = self._frame.rows, self.scroll_offset.y
        end = above + max(self.size.height - len(self._frame.head), 0)
        before = sum(row.key is not None for row in rows[:above])
        after = sum(row.key is not None for row in rows[end:])
        if before:
            return f"{before} above" + (f", {after} below" if after else "")
        return f"{after} more" if after else ""

    def _scroll_to_cursor(self) -> None:
        line = self._cursor_line()
        if line is None:
            return
        head, top = len(self._frame.head), self.scroll_offset.y
        first_row = line - head
        room = self.size.height - head
        if first_row < top:
            self.scroll_to(y=first_row, animate=False)
        elif room > 0 and first_row >= top + room:
            self.scroll_to(y=first_row - room + 1, animate=False)
