"""The history file: opened, created, brought up to date. ``PRAGMA user_version`` numbers its schema."""

import json
import sqlite3
from typing import Any

from wan_tui.core.history.records import COLUMNS, FIGURE_COLUMNS, TOTAL, Kind, Unit
from wan_tui.core.planning.calibration import plan_key
from wan_tui.core.planning.plan import ExecutionPlan

SCHEMA_VERSION = 2

_RATES = """
CREATE TABLE rates (
    model TEXT NOT NULL,
    device TEXT NOT NULL,
    measured_at REAL NOT NULL,
    rate TEXT NOT NULL,
    PRIMARY KEY (model, device)
)"""

_RECORDS = """
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    ended_at REAL NOT NULL,
    kind TEXT NOT NULL,
    deployment TEXT NOT NULL,
    model TEXT NOT NULL,
    device TEXT NOT NULL,
    plan_key TEXT NOT NULL,
    plan TEXT,
    request TEXT,
    first INTEGER NOT NULL,
    width INTEGER,
    height INTEGER,
    frames INTEGER,
    steps INTEGER,
    guidance REAL,
    driver TEXT,
    torch TEXT,
    diffusers TEXT,
    basis TEXT,
    runs INTEGER NOT NULL,
    counts INTEGER NOT NULL
);
CREATE INDEX records_by_time ON records (ended_at);
CREATE INDEX records_by_device ON records (device, model, ended_at);
CREATE TABLE figures (
    id INTEGER PRIMARY KEY,
    record INTEGER NOT NULL REFERENCES records (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    unit TEXT NOT NULL,
    modelled REAL,
    low REAL,
    expected REAL,
    high REAL,
    observed REAL NOT NULL,
    UNIQUE (record, unit, stage)
)"""


def connect(name: str) -> sqlite3.Connection:
    """Open and, if it is new or older, bring up to date. Raises sqlite3.DatabaseError for what is not our file."""
    database = sqlite3.connect(name, check_same_thread=False, isolation_level=None, timeout=5.0)
    try:
        version = schema_version(database)  # before anything is changed in it
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA foreign_keys = ON")
        if version < SCHEMA_VERSION:
            upgrade(database)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


def connect_for_reading(name: str) -> sqlite3.Connection:
    """Open without changing a byte; an older file is read through a copy in memory.

    Raises sqlite3.DatabaseError for what is not our file.
    """
    database = sqlite3.connect(f"file:{_escaped(name)}?mode=ro", uri=True, isolation_level=None, timeout=5.0)
    try:
        if schema_version(database) == SCHEMA_VERSION:
            return database
        copy = sqlite3.connect(":memory:", isolation_level=None)
        with database:
            database.backup(copy)
        upgrade(copy)
    except sqlite3.DatabaseError:
        database.close()
        raise
    database.close()
    return copy


def schema_version(database: sqlite3.Connection) -> int:
    """Raises sqlite3.DatabaseError for a file of a newer version."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"written by a newer version, schema {version}")
    return int(version)


def upgrade(database: sqlite3.Connection) -> None:
    """From any older schema to today's, whole or not at all."""
    # Another engine may do it at the same moment: what there is to do is looked up under the lock.
    database.execute("BEGIN IMMEDIATE")
    try:
        version = schema_version(database)
        if version == 0:
            database.execute(_RATES)
        if version < 2:
            for statement in _RECORDS.split(";\n"):
                database.execute(statement)
        if version == 1:
            _take_over_runs(database)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    except sqlite3.DatabaseError:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def insert(database: sqlite3.Connection, row: tuple[object, ...], figures: list[tuple[object, ...]]) -> bool:
    """Add a row of ``COLUMNS`` and its rows of ``FIGURE_COLUMNS``; False when its uid is there already."""
    places = ", ".join("?" * len(COLUMNS))
    added = database.execute(f"INSERT OR IGNORE INTO records ({', '.join(COLUMNS)}) VALUES ({places})", row)
    if not added.rowcount:
        return False
    places = ", ".join("?" * (len(FIGURE_COLUMNS) + 1))
    names = ", ".join(("record", *FIGURE_COLUMNS))
    database.executemany(
        f"INSERT INTO figures ({names}) VALUES ({places})", [(added.lastrowid, *figure) for figure in figures]
    )
    return True


def _take_over_runs(database: sqlite3.Connection) -> None:
    """Schema 1 kept one table of runs. Their stages had no modelled figures: they are shown, and calibrate nothing."""
    for old in database.execute(
        "SELECT id, ended_at, model, device, warm, request, plan, modelled_seconds, estimated_seconds, "
        "observed_seconds, stages FROM runs ORDER BY id"
    ).fetchall():
        number, ended_at, model, device, warm, request, plan, modelled, expected, observed, stages = old
        asked = _loads(request)
        # Schema 1 wrote precision and offload behind the device's name.
        name = device.rsplit(" ", 2)[0] if device.count(" ") > 2 else device
        row = (
            *(f"schema1-{number}-{ended_at!r}", ended_at, Kind.RUN.value, str(asked.get("deployment", "")), model),
            *(name, _plan_key(plan), plan, request, int(not warm)),
            *(asked.get(key) for key in ("width", "height", "frames", "steps", "guidance")),
            *(None, None, None, None, 0, 1),
        )
        figures: list[tuple[object, ...]] = [
            (TOTAL, Unit.SECONDS.value, modelled, None, expected, None, observed),
            *(
                (stage["stage"], Unit.SECONDS.value, None, None, None, None, stage["seconds"])
                for stage in _loads(stages) or ()
            ),
        ]
        insert(database, row, figures)
    database.execute("DROP TABLE runs")


def _plan_key(plan: str) -> str:
    try:
        return plan_key(ExecutionPlan(**json.loads(plan)))
    except (TypeError, ValueError):
        return ""


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
