"""What happened, in SQLite: runs with their estimate beside the observation, and what devices were measured to do."""

import json
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.plan import ExecutionPlan, GenerationRequest, StageSeconds

SCHEMA_VERSION = 1
RUNS_FOR_CALIBRATION = 20

_SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    ended_at REAL NOT NULL,
    model TEXT NOT NULL,
    device TEXT NOT NULL,
    warm INTEGER NOT NULL,
    request TEXT NOT NULL,
    plan TEXT NOT NULL,
    modelled_seconds REAL NOT NULL,
    estimated_seconds REAL NOT NULL,
    observed_seconds REAL NOT NULL,
    stages TEXT NOT NULL
);
CREATE INDEX runs_by_device ON runs (model, device, warm, id);
CREATE TABLE rates (
    model TEXT NOT NULL,
    device TEXT NOT NULL,
    measured_at REAL NOT NULL,
    rate TEXT NOT NULL,
    PRIMARY KEY (model, device)
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One finished generation. ``warm`` is False for the first one after a load, which also pays for warm-up."""

    model: str
    device: str
    warm: bool
    request: GenerationRequest
    plan: ExecutionPlan
    modelled_seconds: float
    estimated_seconds: float
    observed_seconds: float
    stages: tuple[StageSeconds, ...]


class History:
    """The history file. A corrupt or foreign one is set aside, never overwritten and never fatal.

    Rows are written by one thread of its own, so no caller waits for a disk; readers see them a moment later.
    ``problem`` says what was wrong with the file, or None. Without a usable file nothing is kept after close.
    """

    def __init__(self, path: Path) -> None:
        self.problem: str | None = None
        self._writing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer, self._reader = _connect(str(path)), _connect(str(path))
        except (sqlite3.DatabaseError, OSError) as error:
            self._start_again(path, error)

    def _start_again(self, path: Path, error: Exception) -> None:
        self.problem = f"history {path} is not usable ({error}); "
        try:
            aside = path.with_name(f"{path.name}.unreadable-{int(time.time())}")
            path.rename(aside)
            self._writer, self._reader = _connect(str(path)), _connect(str(path))
            self.problem += f"it was set aside as {aside.name} and a new one begun"
        except (sqlite3.DatabaseError, OSError):
            self._writer = self._reader = _connect(":memory:")
            self.problem += "this session's history is kept in memory only"

    def record_run(self, run: Run) -> None:
        """Keep a run. A full disk or a locked file loses the row and sets ``problem``; it never raises."""
        row = (
            *(time.time(), run.model, run.device, int(run.warm)),
            *(json.dumps(asdict(run.request)), json.dumps(asdict(run.plan))),
            *(run.modelled_seconds, run.estimated_seconds, run.observed_seconds),
            json.dumps([asdict(stage) for stage in run.stages]),
        )
        self._write(f"INSERT INTO runs VALUES (NULL{', ?' * len(row)})", row)

    def record_rate(self, model: str, device: str, rate: DeviceRate) -> None:
        """Keep what a worker measured on ``device``, replacing the last measurement."""
        row = (model, device, time.time(), json.dumps(asdict(rate)))
        self._write("INSERT OR REPLACE INTO rates VALUES (?, ?, ?, ?)", row)

    def rate(self, model: str, device: str) -> DeviceRate | None:
        """The last measurement of ``model`` on ``device``."""
        rows = self._read("SELECT rate FROM rates WHERE model = ? AND device = ?", (model, device))
        return DeviceRate(**json.loads(rows[0][0])) if rows else None

    def past_ratios(self, model: str, device: str, *, warm: bool) -> Sequence[float]:
        """Observed / modelled seconds of the newest runs, newest first."""
        query = (
            "SELECT observed_seconds / modelled_seconds FROM runs "
            "WHERE model = ? AND device = ? AND warm = ? AND modelled_seconds > 0 ORDER BY id DESC LIMIT ?"
        )
        arguments = (model, device, int(warm), RUNS_FOR_CALIBRATION)
        return [row[0] for row in self._read(query, arguments)]

    def close(self) -> None:
        """Finish writing what was recorded, then close the file."""
        self._writing.shutdown(wait=True)
        self._writer.close()
        self._reader.close()

    def _write(self, statement: str, row: tuple[object, ...]) -> None:
        def write() -> None:
            try:
                self._writer.execute(statement, row)
            except sqlite3.Error as error:
                self.problem = f"history: a row was lost ({error})"

        self._writing.submit(write)

    def _read(self, query: str, arguments: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._reader.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            self.problem = f"history: cannot be read ({error})"
            return []


def _connect(name: str) -> sqlite3.Connection:
    """Open and, if it is new, create. Raises sqlite3.DatabaseError for anything that is not our file."""
    database = sqlite3.connect(name, check_same_thread=False, isolation_level=None, timeout=5.0)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:  # before anything is changed in it
            raise sqlite3.DatabaseError(f"written by a newer version, schema {version}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            # Another engine may create it at the same moment: the check is repeated under the lock.
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone() == (0,):
                for statement in _SCHEMA.split(";\n"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("COMMIT")
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
