"""What would fit where: models and profiles against GPUs, and one answer in full. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wan_tui.core.units import format_basis, format_bytes, format_seconds
from wan_tui.core.words import Verdict
from wan_tui.ui import glyphs
from wan_tui.ui.format import dim_join, words
from wan_tui.ui.format_deployment_page import MARKS, headroom_gib, verdict_line
from wan_tui.ui.format_deployments import VERDICT_ROLES, model_name
from wan_tui.ui.format_memory import bars_legend, phase_bars
from wan_tui.ui.text import Frame, Line, Role, Row, Span, View, clean, marked, pad, rule, shorten, text, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wan_tui.core.planning.questions import Assessment

SHORT = {
    Verdict.FITS: "fits",
    Verdict.OFFLOAD_REQUIRED: "offload",
    Verdict.TIGHT: "tight",
    Verdict.INCOMPATIBLE: "no",
    Verdict.UNKNOWN: "?",
}
_NAMES = 31  # cursor, model, profile
_MODEL = 11
_CELL = 17
HERE = "here"


class Place(NamedTuple):
    """A column: this host as it is now (``gpu`` None), or an empty card of the table. ``title`` is the short name."""

    title: str
    gpu: str | None = None


class Cell(NamedTuple):
    """A row and a column of the matrix."""

    model: str
    profile: str
    place: Place


def shown_places(places: Sequence[Place], width: int, chosen: int) -> list[tuple[int, Place]]:
    """The columns that have room, with their numbers: the first, the chosen one, and the others around it."""
    room = max((width - _NAMES) // _CELL, 1)
    if room >= len(places):
        return list(enumerate(places))
    start = min(max(chosen - room + 1, 0), len(places) - room)
    return list(enumerate(places))[start : start + room]


def matrix(
    rows: Sequence[tuple[str, str]],
    places: Sequence[Place],
    chosen: int,
    answers: Mapping[Cell, Assessment],
    info: str,
    view: View,
) -> Frame:
    """Verdict and headroom in GiB of every model under every profile; ``chosen`` is the column of the cursor."""
    columns = shown_places(places, view.width, chosen)
    head = [rule("COMPATIBILITY", dim_join(info, "verdict and headroom in GiB"), view)]
    titles: list[Span] = [Span("   "), Span(f"{'MODEL':<{_MODEL}}  {'PROFILE':<{_NAMES - _MODEL - 5}}", Role.DIM)]
    for number, place in columns:
        title = shorten(place.title, _CELL - 2).ljust(_CELL - 1)
        role = Role.STRONG if number == chosen and view.focused else Role.DIM
        titles.append(Span(f" {title}", role))
    head.append(pad(tuple(titles), view.width))
    shown = []
    last = None
    for model, profile in rows:
        key = row_key(model, profile)
        selected = key == view.cursor
        name = model_name(model) if model != last else ""
        last = model
        role = Role.STRONG if name else Role.DIM
        line: list[Span] = [
            Span(f"{shorten(name or model_name(model), _MODEL):<{_MODEL}}  ", role),
            Span(f"{shorten(clean(profile), _NAMES - _MODEL - 6):<{_NAMES - _MODEL - 5}}"),
        ]
        for number, place in columns:
            line += _cell(answers.get(Cell(model, profile, place)), here=selected and number == chosen)
        shown.append(Row(pad(marked(tuple(line), selected), view.width), key))
    return Frame(tuple(head), tuple(shown))


def _cell(answer: Assessment | None, *, here: bool) -> Line:
    """``✓ fits   +10.1``; brackets around the one that the lines below are about."""
    if answer is None:
        inner, role = f"{glyphs.DOT * 2:<{_CELL - 2}}", Role.DIM
    else:
        found = answer.compatibility
        word = f"{MARKS[found.verdict]} {SHORT[found.verdict]}" if found.verdict is not Verdict.UNKNOWN else "? unknown"
        if answer.refusal is not None:
            word, role = f"{glyphs.CROSS} refused", Role.ERROR
        else:
            role = VERDICT_ROLES[found.verdict]
        room = _CELL - 2 - 10
        inner = f"{word:<10}{headroom_gib(found) if answer.refusal is None else '':>{room}}"
    left, right = ("[", "]") if here else (" ", " ")
    return (Span(left, Role.STRONG), Span(inner, role), Span(right, Role.STRONG))


def row_key(model: str, profile: str) -> str:
    return f"{model} {profile}"


def of_row(key: str | None, rows: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    return next((row for row in rows if row_key(*row) == key), None)


def legend(view: View) -> Frame:
    """The marks of the cells, in words."""
    parts = [
        f"{MARKS[Verdict.FITS]} fits",
        f"{MARKS[Verdict.OFFLOAD_REQUIRED]} fits with offload",
        f"{MARKS[Verdict.TIGHT]} tight",
        f"{MARKS[Verdict.INCOMPATIBLE]} no plan fits",
        "? not known",
    ]
    line = text(shorten(f"   {'   '.join(parts)}", view.width), Role.DIM)
    return Frame((), (Row(pad(line, view.width)),))


def answer_lines(cell: Cell | None, answer: Assessment | None, problem: str | None, view: View) -> Frame:
    """One cell in full: the verdict and why, the plan, the time, memory phase by phase, what would help."""
    if cell is None:
        return Frame()
    title = f"{model_name(cell.model)} {clean(cell.profile)} on {clean(cell.place.title)}".upper()
    width = view.width - 6
    if answer is None:
        said = text(problem, Role.ERROR) if problem else text("planning", Role.DIM)
        return Frame((rule(title, (), view),), (Row(pad((Span("   "), *said), view.width)),))
    found, clip = answer.compatibility, answer.clip
    size = f"{clip.width}{glyphs.TIMES}{clip.height}{glyphs.TIMES}{clip.frames}, {clip.steps} steps"
    lines: list[Line] = [verdict_line(found)]
    if answer.refusal is not None:
        lines += [text(part, Role.ERROR) for part in wrap(f"refused: {answer.refusal}", width, 2)]
    lines += [text(part) for part in wrap(found.reason, width, 3)]
    if answer.time is not None:
        total = answer.time.total_seconds
        between = f"{format_seconds(total.low)} to {format_seconds(total.high)}"
        basis = format_basis(answer.time.basis.value, answer.time.runs, answer.time.report)
        load = f"load {format_seconds(answer.load.total_seconds.expected)}" if answer.load is not None else ""
        lines.append(
            (Span(f"about {format_seconds(total.expected)} a clip  ", Role.STRONG), *dim_join(between, basis, load))
        )
    lines += [text(part, Role.DIM) for notice in answer.notices for part in wrap(notice, width, 2)]
    if found.memory is not None:
        lines += phase_bars(found.memory, answer.free_bytes, width)
        lines += bars_legend(found.memory, answer.free_bytes, width)
        lines.append(dim_join(f"{format_bytes(found.memory.host_bytes)} of weights on the host", clean(answer.where)))
    for remedy in found.remedies:
        change = f"{glyphs.ARROW} {clean(remedy.title).partition(': ')[0]}: {words(remedy.verdict)}"
        lines.append(text(shorten(change, width)))
    rows = tuple(Row(pad((Span("   "), *line), view.width)) for line in lines)
    return Frame((rule(title, text(size, Role.DIM), view),), rows)
