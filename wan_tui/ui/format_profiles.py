"""Profiles with their verdicts as lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.core.units import MISSING, format_seconds
from wan_tui.ui.format import words
from wan_tui.ui.format_deployment_page import MARKS, headroom_gib
from wan_tui.ui.format_deployments import VERDICT_ROLES
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
    shorten,
    table_head,
    table_line,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wan_tui.core.planning.questions import Assessment
    from wan_tui.core.snapshot import ProfileSummary

_COLUMNS = (
    Column("PROFILE", 20),
    Column("VERDICT", 18),
    Column("HEADROOM GiB", 12, 2, right=True),
    Column("TIME", 9, 1, right=True),
    Column("WHAT IT ALLOWS", 14, 3, grow=True),
)


def profile_list(
    profiles: Sequence[ProfileSummary],
    current: str,
    answers: Mapping[str, Assessment],
    problem: str | None,
    view: View,
) -> Frame:
    """A row for each profile; verdicts come when they come, ``problem`` says why they do not."""
    fitted = fit_columns(_COLUMNS, view.width - 4)
    rows: list[Row] = []
    for profile in profiles:
        name = f"{clean(profile.name)} (now)" if profile.name == current else clean(profile.name)
        answer = answers.get(profile.name)
        cells: tuple[Line, ...]
        if answer is None:
            waiting = MISSING if problem else "…"
            cells = (text(name, Role.STRONG), text(waiting, Role.DIM), text(MISSING), text(MISSING))
        else:
            found = answer.compatibility
            seconds = answer.time.total_seconds.expected if answer.time is not None else None
            cells = (
                text(name, Role.STRONG),
                text(f"{MARKS[found.verdict]} {words(found.verdict)}", VERDICT_ROLES[found.verdict]),
                text(headroom_gib(found)),
                text(format_seconds(seconds)),
            )
        line = table_line(fitted, _COLUMNS, (*cells, text(clean(profile.description), Role.DIM)))
        rows.append(Row(pad(marked(line, profile.name == view.cursor), view.width), profile.name))
    head = [pad((Span("   "), *table_head(fitted, _COLUMNS)), view.width)]
    if problem:
        head.insert(0, pad(text(f"   no verdicts: {shorten(clean(problem), view.width - 20)}", Role.ERROR), view.width))
    return Frame(tuple(head), tuple(rows))
