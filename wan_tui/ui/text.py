"""Lines of text as data: spans with a role, tables whose columns drop by priority, rules and meters.

A role says what a piece of text means; the style sheet alone decides its colour. Nothing here knows Textual.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from wan_tui.ui import glyphs


class Role(StrEnum):
    """The meaning of a span; ``role--<value>`` in the style sheet."""

    TEXT = "text"
    STRONG = "strong"
    DIM = "dim"
    TITLE = "title"
    RULE = "rule"
    ACCENT = "accent"
    OK = "ok"
    WARN = "warn"
    ERROR = "error"
    TRACK = "track"
    KEY = "key"
    TAB = "tab"
    ALERT = "alert"


FILLED = frozenset({Role.KEY, Role.TAB, Role.ALERT})
"""Roles with a background of their own, where a blank is visible."""


class Span(NamedTuple):
    text: str
    role: Role = Role.TEXT


Line = tuple[Span, ...]
Cell = Line | Callable[[int], Line]  # a bar wants to know how wide its column came out


class Row(NamedTuple):
    """A line of a list. ``key`` names the thing it shows; None for a line the cursor steps over."""

    line: Line
    key: str | None = None


class Frame(NamedTuple):
    """What a widget shows: lines that stay at the top, then rows that scroll."""

    head: tuple[Line, ...] = ()
    rows: tuple[Row, ...] = ()


class View(NamedTuple):
    """The room a frame is composed for, and where the reader's cursor is."""

    width: int
    height: int
    cursor: str | None = None
    focused: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. The highest ``priority`` number is dropped first; 0 never is.

    ``grow`` columns share what is left over, up to ``limit`` cells.
    """

    title: str
    width: int
    priority: int = 0
    right: bool = False
    grow: bool = False
    limit: int = 1000


def clean(text: str) -> str:
    """One printable line: messages come from drivers and libraries and may hold escapes and newlines."""
    return "".join(c if c.isprintable() else " " for c in text)


def line_width(line: Line) -> int:
    return sum(cell_len(span.text) for span in line)


def shorten(text: str, width: int) -> str:
    """At most ``width`` cells, cut between words where there is one to cut at, with a mark that says so."""
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    cut = set_cell_size(text, width - 1).rstrip()
    head, space, _ = cut.rpartition(" ")
    if space and cell_len(head) >= width // 2 and not text[len(cut) : len(cut) + 1].isspace():
        cut = head.rstrip(" ,;:.")
    return cut + glyphs.CUT


def shorten_path(text: str, width: int) -> str:
    """At most ``width`` cells: a path in it is cut in its middle where that is enough, else the end of the text."""
    excess = cell_len(text) - width
    path = max((word for word in text.split() if "/" in word), key=len, default="")
    kept = len(path) - excess - 1
    if excess <= 0 or kept < 8 or not path.isascii():
        return shorten(text, width)
    end = (kept + 1) // 2
    return text.replace(path, path[: kept - end] + glyphs.CUT + path[-end:], 1)


def wrap(text: str, width: int, most: int = 1000) -> list[str]:
    """``text`` in lines of at most ``width`` cells; the last of ``most`` lines says when something was cut."""
    width = max(width, 1)
    lines: list[str] = []
    words = clean(text).split()
    while words:
        if len(lines) == most - 1:
            lines.append(shorten(" ".join(words), width))
            return lines
        line = words.pop(0)
        while words and cell_len(line) + 1 + cell_len(words[0]) <= width:
            line += " " + words.pop(0)
        while cell_len(line) > width:  # a word longer than the line, such as a path
            part = set_cell_size(line, width).rstrip()
            lines.append(part)
            line = line[len(part) :]
        lines.append(line)
    return lines[:most]


def pad(line: Line, width: int, *, right: bool = False) -> Line:
    """``line`` in exactly ``width`` cells: filled with spaces, or cut."""
    room = width - line_width(line)
    if room >= 0:
        space = (Span(" " * room),) if room else ()
        return (*space, *line) if right else (*line, *space)
    spans: list[Span] = []
    for span in line:
        length = cell_len(span.text)
        if length > width:
            spans.append(Span(set_cell_size(shorten(span.text, width), width), span.role))
            break
        spans.append(span)
        width -= length
    return tuple(spans)


def join(parts: Iterable[Line], gap: str = "  ") -> Line:
    """Lines side by side; empty ones leave no gap."""
    spans: list[Span] = []
    for part in parts:
        if part:
            spans.extend((Span(gap), *part) if spans else part)
    return tuple(spans)


def join_fitting(parts: Iterable[Line], width: int, gap: str = "  ") -> Line:
    """As many of the lines, side by side, as fit; the first ones matter most."""
    line: Line = ()
    for part in parts:
        longer = join((line, part), gap)
        if line_width(longer) > width:
            break
        line = longer
    return line


def spread(left: Line, right: Line, width: int, margin: int = 1) -> Line:
    """``left`` at the left edge and ``right`` at the right one; ``right`` gives way when both do not fit."""
    inner = width - 2 * margin
    room = inner - line_width(left) - line_width(right)
    if room < 2:
        right, room = (), max(inner - line_width(left), 0)
    side = Span(" " * margin)
    return pad((side, *left, Span(" " * room), *right, side), width)


def rule(title: str, info: Line, view: View) -> Line:
    """The heading of a section: its name, a rule, and a fact or two at the right edge."""
    name = Span(title, Role.ACCENT if view.focused else Role.TITLE)
    room = view.width - cell_len(title) - line_width(info) - 3
    if info and room < 3:
        info, room = (), view.width - cell_len(title) - 3
    tail = (Span(" "), *info) if info else ()
    dashes = glyphs.RULE * max(room - (1 if info else 0), 0)
    return pad((Span(" "), name, Span(" "), Span(dashes, Role.RULE), *tail, Span(" ")), view.width)


def meter(ratio: float | None, width: int, role: Role = Role.ACCENT) -> Line:
    """A bar on a fixed 0 to 1 scale; an unknown ratio is an empty track, and any use at all shows."""
    if ratio is None:
        return (Span(glyphs.TRACK * width, Role.TRACK),)
    filled = min(max(round(ratio * width), 1 if ratio > 0.005 else 0), width)
    spans = (Span(glyphs.BAR * filled, role), Span(glyphs.TRACK * (width - filled), Role.TRACK))
    return tuple(span for span in spans if span.text)


def spark(values: Sequence[float | None], width: int, role: Role = Role.ACCENT) -> Line:
    """The last ``width`` values on a fixed 0 to 1 scale, the newest at the right; a gap where nothing is known."""
    last = len(glyphs.SPARK) - 1
    marks = [
        " " if value is None else glyphs.SPARK[min(max(math.ceil(value * last), 1), last)]
        for value in values[-width:]
        if width > 0
    ]
    return (Span("".join(marks).rjust(max(width, 0)), role),)


def fit_columns(columns: Sequence[Column], width: int, gap: int = 2) -> list[tuple[int, int]]:
    """The columns that have room, as (index, width): drop by priority, then share out what is left."""
    kept = list(range(len(columns)))

    def used() -> int:
        return sum(columns[i].width for i in kept) + gap * (len(kept) - 1)

    while used() > width and (droppable := [i for i in kept if columns[i].priority]):
        kept.remove(max(droppable, key=lambda i: (columns[i].priority, i)))
    spare = max(width - used(), 0)
    widths = {i: columns[i].width for i in kept}
    growing = [i for i in kept if columns[i].grow]
    while spare and growing:
        for i in list(growing):
            if widths[i] >= columns[i].limit:
                growing.remove(i)
            elif spare:
                widths[i] += 1
                spare -= 1
    return [(i, widths[i]) for i in kept]


def table_line(
    fitted: Sequence[tuple[int, int]], columns: Sequence[Column], cells: Sequence[Cell], gap: int = 2
) -> Line:
    """One line of a table, each cell in exactly the width of its column."""
    parts: list[Line] = []
    for i, width in fitted:
        cell = cells[i]
        parts.append(pad(cell(width) if callable(cell) else cell, width, right=columns[i].right))
    return join(parts, " " * gap)


def table_head(fitted: Sequence[tuple[int, int]], columns: Sequence[Column], gap: int = 2) -> Line:
    return table_line(fitted, columns, [(Span(column.title, Role.DIM),) for column in columns], gap)


def share_rows(room: int, wanted: Sequence[int], least: Sequence[int]) -> list[int]:
    """Heights for sections that want more rows than there are: the least for each, then in order of importance."""
    heights = [min(want, low) for want, low in zip(wanted, least, strict=True)]
    spare = max(room - sum(heights), 0)
    for i, want in enumerate(wanted):
        more = min(want - heights[i], spare)
        heights[i] += more
        spare -= more
    return heights


def merged(line: Line) -> Line:
    """The line in as few spans as it can have: every change of style is some 40 bytes on the wire.

    Blanks have no colour of their own, so they join the text before them.
    """
    spans: list[Span] = []
    for span in line:
        if spans and (span.role is spans[-1].role or (span.text.isspace() and spans[-1].role not in FILLED)):
            spans[-1] = Span(spans[-1].text + span.text, spans[-1].role)
        elif spans and spans[-1].text.isspace() and spans[-1].role not in FILLED and span.role not in FILLED:
            spans[-1] = Span(spans[-1].text + span.text, span.role)
        else:
            spans.append(span)
    return tuple(spans)


def noted(line: Line, note: str) -> Line:
    """A heading with ``note`` where its rule begins, as in ``DEVICES … 2 more ─────``; as it was without the room."""
    mark = f"{glyphs.CUT} {note} "
    for i, span in enumerate(line):
        if span.role is Role.RULE and len(span.text) > len(mark):
            return (*line[:i], Span(mark), Span(span.text[len(mark) :], Role.RULE), *line[i + 1 :])
    return line


def changed_cells(old: Line, new: Line, near: int = 8) -> list[tuple[int, int]]:
    """Where two lines differ, as (first cell, cell after the last); changes less than ``near`` cells apart are one.

    To go somewhere costs some 8 bytes on the wire. Lines of different widths, or with wide characters, differ whole.
    """
    before, after = _cells(old), _cells(new)
    if before is None or after is None or len(before) != len(after):
        return [(0, max(line_width(old), line_width(new)))]
    found: list[tuple[int, int]] = []
    for x, (was, now) in enumerate(zip(before, after, strict=True)):
        if was != now:
            if found and x - found[-1][1] < near:
                found[-1] = found[-1][0], x + 1
            else:
                found.append((x, x + 1))
    return found


def _cells(line: Line) -> list[tuple[str, Role]] | None:
    """Cell by cell, or None where a character is not one cell. A blank has a colour only where it is filled."""
    if any(cell_len(span.text) != len(span.text) for span in line):
        return None
    return [(c, Role.TEXT if c == " " and span.role not in FILLED else span.role) for span in line for c in span.text]


def filtered(frame: Frame, wanted: str, width: int) -> Frame:
    """Only the things whose lines have every word of ``wanted``; a word after ``!`` must not be there.

    A row without a key belongs to the one with a key above it. A line of the head says how many there are.
    """
    words = wanted.casefold().split()
    if not words:
        return frame
    groups: list[list[Row]] = []
    for row in frame.rows:
        if row.key is not None or not groups:
            groups.append([])
        groups[-1].append(row)
    kept = [group for group in groups if _has(group, words)]
    things = sum(group[0].key is not None for group in groups)
    shown = sum(group[0].key is not None for group in kept)
    note = pad((Span(" / ", Role.ACCENT), Span(clean(wanted), Role.STRONG), Span(f"  {shown} of {things}")), width)
    return Frame((*frame.head, note), tuple(row for group in kept for row in group))


def _has(group: list[Row], words: list[str]) -> bool:
    shown = "\n".join("".join(span.text for span in row.line) for row in group).casefold()
    return all(word[1:] not in shown if len(word) > 1 and word[0] == "!" else word in shown for word in words)


def marked(line: Line, selected: bool) -> Line:
    """A row of a list: two cells for the cursor's mark, then the line."""
    return (Span(f" {glyphs.CURSOR} " if selected else "   ", Role.ACCENT), *line)


def text(value: str, role: Role = Role.TEXT) -> Line:
    """A line of one span."""
    return (Span(value, role),) if value else ()
