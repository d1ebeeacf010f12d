"""Changes that an operator makes to the history: taking runs out of calibration, adding those of another file."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from wan_tui.core.errors import WanTuiError
from wan_tui.core.history.records import Record, figure_row, row_of
from wan_tui.core.history.schema import connect, insert


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the records of a file: new here, back in calibration after a reset, or there already."""

    added: int
    restored: int
    known: int


def reset(path: Path, *, deployment: str | None = None, device: str | None = None) -> int:
    """Take records out of calibration and say how many; the history keeps them. Raises WanTuiError."""
    if not path.exists():
        return 0
    chosen = "counts AND (? IS NULL OR deployment = ?) AND (? IS NULL OR device = ?)"
    with _changing(path) as database:
        query = f"UPDATE records SET counts = 0 WHERE {chosen}"
        return database.execute(query, (deployment, deployment, device, device)).rowcount


def merge(path: Path, records: Sequence[Record]) -> Merged:
    """Add records that are not there yet, all or none. Raises WanTuiError."""
    added = restored = 0
    with _changing(path) as database:
        for record in records:
            if insert(database, row_of(record), [figure_row(figure) for figure in record.figures]):
                added += 1
                continue
            again = database.execute("UPDATE records SET counts = 1 WHERE uid = ? AND NOT counts", (record.uid,))
            restored += again.rowcount
    return Merged(added, restored, len(records) - added - restored)


@contextmanager
def _changing(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(connect(str(path))) as database:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        raise WanTuiError(f"history {path} cannot be changed: {error}") from None
