"""The history of this host as the engine uses it: written without waiting, read for the next estimate."""

import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wan_tui.core.history.reading import read_records
from wan_tui.core.history.records import Kind, Record, Unit, Versions, figure_row, is_sound, row_of
from wan_tui.core.history.schema import connect, insert
from wan_tui.core.planning.calibration import Observation
from wan_tui.core.planning.duration import DeviceRate

# A busy host makes a few hundred runs a day; a record with its figures takes about 2 kB.
RECORDS_KEPT = 20_000
# What an estimate looks at: the newest of its own model and device, and of all the rest.
OWN_RECORDS_READ = 150
OTHER_RECORDS_READ = 50


class History:
    """The history file. A corrupt or foreign one is set aside, never overwritten and never fatal.

    Rows are written by one thread of its own, so no caller waits for a disk; readers see them a moment later.
    ``writing`` is that thread. ``problem`` says what was wrong with the file, or None. Without a usable file nothing is
    kept after close.
    """

    def __init__(self, path: Path, *, records_kept: int = RECORDS_KEPT) -> None:
        self.problem: str | None = None
        self._records_kept = records_kept
        self.writing = self._writing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer, self._reader = connect(str(path)), connect(str(path))
        except (sqlite3.DatabaseError, OSError) as error:
            self._start_again(path, error)

    def _start_again(self, path: Path, error: Exception) -> None:
        self.problem = f"history {path} is not usable ({error}); "
        try:
            aside = path.with_name(f"{path.name}.unreadable-{int(time.time())}")
            path.rename(aside)
            self._writer, self._reader = connect(str(path)), connect(str(path))
            self.problem += f"it was set aside as {aside.name} and a new one begun"
        except (sqlite3.DatabaseError, OSError):
            self._writer = self._reader = connect(":memory:")
            self.problem += "this session's history is kept in memory only"

    def record(self, record: Record) -> None:
        """Keep a finished load or run; the oldest beyond ``records_kept`` go.

        A full disk or a locked file loses the row and sets ``problem``; it never raises.
        """
        row, figures = row_of(record), [figure_row(figure) for figure in record.figures if is_sound(figure)]
        oldest = "DELETE FROM records WHERE id <= (SELECT MAX(id) FROM records) - ?"

        def write(database: sqlite3.Connection) -> None:
            database.execute("BEGIN IMMEDIATE")
            try:
                insert(database, row, figures)
                database.execute(oldest, (self._records_kept,))
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")

        self._write(write)

    def record_rate(self, model: str, device: str, rate: DeviceRate) -> None:
        """Keep what a worker measured on ``device``, replacing the last measurement."""
        row = (model, device, time.time(), json.dumps(asdict(rate)))
        self._write(lambda database: database.execute("INSERT OR REPLACE INTO rates VALUES (?, ?, ?, ?)", row))

    def rate(self, model: str, device: str) -> DeviceRate | None:
        """The last measurement of ``model`` on ``device``."""
        rows = self._read(
            lambda database: database.execute(
                "SELECT rate FROM rates WHERE model = ? AND device = ?", (model, device)
            ).fetchall()
        )
        return DeviceRate(**json.loads(rows[0][0])) if rows else None

    def observations(self, kind: Kind, unit: Unit, *, model: str, device: str) -> list[Observation]:
        """What calibration learns from, newest first: runs of this model on this device, then of anything else."""

        def read(database: sqlite3.Connection) -> list[Record]:
            same = "model = ? AND device = ?"
            own = read_records(
                database, f"counts AND kind = ? AND {same}", (kind.value, model, device), OWN_RECORDS_READ
            )
            rest = read_records(
                database, f"counts AND kind = ? AND NOT ({same})", (kind.value, model, device), OTHER_RECORDS_READ
            )
            return [*own, *rest]

        return [observation for record in self._read(read) for observation in record.observations(unit)]

    @property
    def version(self) -> tuple[int, int]:
        """Another one as soon as anything in the file changed, whoever wrote it."""
        rows = self._read(lambda database: database.execute("PRAGMA data_version").fetchall())
        return (rows[0][0] if rows else 0, self._reader.total_changes)

    def libraries(self) -> Versions:
        """Versions of the libraries of the newest record: what the next worker will most likely import."""
        newest = self._read(lambda database: read_records(database, "torch IS NOT NULL", (), 1))
        return newest[0].versions if newest else Versions()

    def close(self) -> None:
        """Finish writing what was recorded, then close the file."""
        self._writing.shutdown(wait=True)
        self._writer.close()
        self._reader.close()

    def _write(self, change: Callable[[sqlite3.Connection], object]) -> None:
        def write() -> None:
            try:
                change(self._writer)
            except sqlite3.Error as error:
                self.problem = f"history: a row was lost ({error})"

        self._writing.submit(write)

    def _read(self, query: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
        try:
            return query(self._reader)
        except sqlite3.Error as error:
            self.problem = f"history: cannot be read ({error})"
            return []
