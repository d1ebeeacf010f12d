"""Records read back, by whoever has a connection; and the whole history for people, without changing the file."""

import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from wan_tui.core.errors import WanTuiError
from wan_tui.core.history.records import COLUMNS, FIGURE_COLUMNS, Figure, Record, figure_of, record_of
from wan_tui.core.history.schema import connect_for_reading

# SQLite's own limit on places in one statement is far higher.
_AT_ONCE = 500


def read_records(database: sqlite3.Connection, condition: str, values: tuple[object, ...], limit: int) -> list[Record]:
    """Records for which the SQL ``condition`` holds, newest first."""
    rows = database.execute(
        f"SELECT id, {', '.join(COLUMNS)} FROM records WHERE {condition} ORDER BY ended_at DESC, id DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    figures = _figures(database, [row[0] for row in rows])
    return [record_of(row[1:], tuple(figures[row[0]])) for row in rows]


def read_history(
    path: Path, *, deployment: str | None = None, since: float | None = None, limit: int = -1
) -> list[Record]:
    """The history in ``path``, newest first; empty when there is no file. Raises WanTuiError for an unusable one.

    ``since`` is Unix seconds; a negative ``limit`` is none.
    """
    if not path.exists():
        return []
    condition = "ended_at >= ? AND (? IS NULL OR deployment = ?)"
    try:
        with closing(connect_for_reading(str(path))) as database:
            return read_records(database, condition, (since or 0.0, deployment, deployment), limit)
    except (sqlite3.DatabaseError, OSError) as error:
        raise WanTuiError(f"history {path} cannot be read: {error}") from None


def _figures(database: sqlite3.Connection, records: list[int]) -> dict[int, list[Figure]]:
    found: dict[int, list[Figure]] = defaultdict(list)
    for start in range(0, len(records), _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        columns, places = ", ".join(FIGURE_COLUMNS), ", ".join("?" * len(some))
        query = f"SELECT record, {columns} FROM figures WHERE record IN ({places}) ORDER BY id"
        for row in database.execute(query, some):
            found[row[0]].append(figure_of(row[1:]))
    return found
