"""The queue on disk: what waits, runs or ended lately, so that it survives whatever ends its engine."""

import contextlib
import dataclasses
import fcntl
import json
import os
import sqlite3
import time
from concurrent.futures import Executor, Future
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.state import Job

SCHEMA_VERSION = 1
# AUTOINCREMENT: SQLite remembers the highest number that there ever was, whatever was deleted since.
_JOBS = "CREATE TABLE jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, job TEXT NOT NULL)"


def queue_file(history: Path) -> Path:
    """Where the queue is kept: beside the history."""
    return history.with_name(f"{history.stem}-queue.sqlite3")


class QueueStore:
    """Jobs by their number in a file of their own. A corrupt file is set aside, never overwritten and never fatal.

    Only the first engine on a host keeps the queue; another finds it locked and keeps nothing. ``problem`` says what
    was wrong, or None. Writing is done on ``writing``, the one thread that also writes the history. What could not be
    written (a full disk) is written with the next change, and at the end.
    """

    def __init__(self, path: Path, writing: Executor) -> None:
        self.problem: str | None = None
        self._writing = writing
        self._database: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._owed: dict[int, tuple[int, str, str] | None] = {}  # by number; None: to be removed
        self._unpaid: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.problem = f"another engine keeps the queue {path}: jobs of this one end with it"
            return
        except OSError as error:
            self.problem = f"the queue cannot be kept in {path} ({error}): jobs end with this engine"
            return
        try:
            self._database = _connect(path)
        except (sqlite3.DatabaseError, OSError) as error:
            self._start_again(path, error)

    def _start_again(self, path: Path, error: Exception) -> None:
        self.problem = f"queue {path} is not usable ({error}); "
        try:
            aside = path.with_name(f"{path.name}.unreadable-{int(time.time())}")
            path.rename(aside)
            for journal in ("-wal", "-shm"):
                path.with_name(path.name + journal).unlink(missing_ok=True)
            self._database = _connect(path)
            self.problem += f"it was set aside as {aside.name} and a new one begun"
        except (sqlite3.DatabaseError, OSError):
            self.problem += "jobs end with this engine"

    def jobs(self) -> list[Job]:
        """Everything that is kept, in order of submission; a row that cannot be read is left out and told."""
        found: list[Job] = []
        for number, text in self._rows("SELECT number, job FROM jobs ORDER BY number"):
            try:
                found.append(TypeAdapter(Job).validate_json(str(text)))
            except ValidationError:
                self.problem = f"queue: job {number} cannot be read and was left out"
        return found

    def highest_number(self) -> int:
        """The highest number that a job ever had."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'")
        return int(str(rows[0][0])) if rows else 0

    def keep(self, job: Job) -> Future[None]:
        """Write ``job`` in the place of its older self. The future is done when it would survive; it never fails."""
        text = json.dumps(dataclasses.asdict(dataclasses.replace(job, preview=None)))
        return self._write(int(job.id), (int(job.id), job.state.value, text))

    def forget(self, job_id: str) -> None:
        """Remove a job that ended long ago."""
        self._write(int(job_id), None)

    def close(self) -> None:
        """Let go of the file; whatever was to be written has been, once ``writing`` is shut down."""
        if self._database is not None:
            self._pay(self._database)
            self._database.close()
            self._database = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _rows(self, query: str) -> list[tuple[object, ...]]:
        if self._database is None:
            return []
        try:
            return self._database.execute(query).fetchall()
        except sqlite3.Error as error:
            self.problem = f"queue: cannot be read ({error})"
            return []

    def _write(self, number: int, row: tuple[int, str, str] | None) -> Future[None]:
        database = self._database

        def write() -> None:
            if database is not None:
                self._owed[number] = row
                self._pay(database)

        return self._writing.submit(write)

    def _pay(self, database: sqlite3.Connection) -> None:
        try:
            for number, row in list(self._owed.items()):
                if row is None:
                    database.execute("DELETE FROM jobs WHERE number = ?", (number,))
                else:
                    database.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)", row)
                del self._owed[number]
        except sqlite3.Error as error:
            told = ", ".join(map(str, self._owed))
            self.problem = self._unpaid = f"queue: changes of job {told} wait to be kept ({error})"
        else:
            if self.problem == self._unpaid:
                self.problem = None


def kept_queue(limit: int, store: QueueStore) -> JobQueue:
    """A queue whose every change goes to ``store``."""
    return JobQueue(limit, changed=store.keep, forgotten=store.forget, last_number=store.highest_number())


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None, timeout=5.0)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"written by a newer version, schema {version}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            with contextlib.suppress(sqlite3.OperationalError):  # made, but not numbered: it was killed in between
                database.execute(_JOBS)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("SELECT number, state, job FROM jobs LIMIT 1").fetchone()
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
