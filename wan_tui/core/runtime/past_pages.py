"""The history file as pages and as text, for faces that may not open it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.history.reading import read_records
from wan_tui.core.history.records import Record
from wan_tui.core.history.schema import connect_for_reading
from wan_tui.core.history.tables import csv_text, json_text
from wan_tui.core.runtime.past import MAX_PAGE, PastFigure, PastFilter, PastPage, PastRun

FORMS = ("csv", "json")


def read_page(path: Path, chosen: PastFilter, *, before: str | None = None, limit: int = MAX_PAGE) -> PastPage:
    """The newest ``limit`` records of ``path`` that are older than the one called ``before``.

    Reads on the caller's thread. Raises UsageError for a ``before`` that does not exist, WanTuiError for an unusable
    file; without a file the page is empty.
    """
    if not path.exists():
        return PastPage(runs=(), matching=0)
    limit = min(max(limit, 1), MAX_PAGE)
    condition, values = _condition(chosen)
    try:
        with closing(connect_for_reading(str(path))) as database:
            (matching,) = database.execute(f"SELECT COUNT(*) FROM records WHERE {condition}", values).fetchone()
            if before is not None:
                place = _place(database, before)
                condition, values = f"{condition} AND (ended_at, id) < (?, ?)", (*values, *place)
            records = read_records(database, condition, values, limit + 1)
    except (sqlite3.DatabaseError, OSError) as error:
        raise WanTuiError(f"history {path} cannot be read: {error}") from None
    shown = records[:limit]
    more = shown[-1].uid if len(records) > limit else None
    return PastPage(runs=tuple(_past(record) for record in shown), matching=matching, more=more)


def read_text(path: Path, chosen: PastFilter, form: str) -> str:
    """All that ``chosen`` lets through as ``csv`` or ``json``, as ``wan-tui history`` prints it. Raises WanTuiError."""
    if form not in FORMS:
        raise UsageError(f"form {form!r}: must be csv or json")
    records: list[Record] = []
    if path.exists():
        condition, values = _condition(chosen)
        try:
            with closing(connect_for_reading(str(path))) as database:
                records = read_records(database, condition, values, -1)
        except (sqlite3.DatabaseError, OSError) as error:
            raise WanTuiError(f"history {path} cannot be read: {error}") from None
    return csv_text(records) if form == "csv" else json_text(records)


def _condition(chosen: PastFilter) -> tuple[str, tuple[object, ...]]:
    parts, values = ["1"], list[object]()
    for column, value in (("deployment", chosen.deployment), ("kind", chosen.kind)):
        if value is not None:
            parts.append(f"{column} = ?")
            values.append(value)
    if chosen.since is not None:
        parts.append("ended_at >= ?")
        values.append(chosen.since)
    prompt = "CASE WHEN json_valid(request) THEN json_extract(request, '$.prompt') END"
    everything = f"deployment || ' ' || model || ' ' || device || ' ' || plan_key || ' ' || COALESCE({prompt}, '')"
    for word in chosen.words:
        parts.append(f"{everything} LIKE ? ESCAPE '\\'")
        escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values.append(f"%{escaped}%")
    return " AND ".join(parts), tuple(values)


def _place(database: sqlite3.Connection, uid: str) -> tuple[Any, Any]:
    row = database.execute("SELECT ended_at, id FROM records WHERE uid = ?", (uid,)).fetchone()
    if row is None:
        raise UsageError(f"before {uid!r}: no such record (any more); begin with the first page")
    return row[0], row[1]


def _past(record: Record) -> PastRun:
    return PastRun(
        uid=record.uid,
        ended_at=record.ended_at,
        kind=record.kind.value,
        deployment=record.deployment,
        model=record.model,
        device=record.device,
        plan=record.plan_key,
        first=record.first,
        counts=record.counts,
        basis=record.basis,
        runs=record.runs,
        driver=record.versions.driver,
        torch=record.versions.torch,
        diffusers=record.versions.diffusers,
        clip=record.clip,
        request=record.request,
        figures=tuple(
            PastFigure(
                stage=figure.stage,
                unit=figure.unit.value,
                modelled=figure.modelled,
                low=figure.low,
                expected=figure.expected,
                high=figure.high,
                observed=figure.observed,
            )
            for figure in record.figures
        ),
    )
