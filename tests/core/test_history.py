"""The history file: kept, read back, brought up to date, set aside when it is not ours, never fatal."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.core.runtime.harness import request
from wan_tui.core.errors import WanTuiError
from wan_tui.core.history import TOTAL, Figure, History, Kind, Record, Unit, Versions
from wan_tui.core.history.editing import merge, reset
from wan_tui.core.history.reading import read_history
from wan_tui.core.history.schema import SCHEMA_VERSION
from wan_tui.core.planning.calibration import plan_key
from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.plan import Bounds, Clip, ExecutionPlan
from wan_tui.core.words import OffloadMode, Phase, Precision

OLD_SCHEMA = Path(__file__).with_name("history_schema_1.sql")

PLAN = ExecutionPlan(
    device="cpu",
    gpu_uuid=None,
    precision=Precision.FP32,
    vae_precision=Precision.FP32,
    offload=OffloadMode.NONE,
    vae_tiling=False,
)
RATE = DeviceRate(
    text_encode_seconds=0.1,
    forward_floor_seconds=0.01,
    forward_flop_per_second=1e12,
    decode_floor_seconds=0.02,
    decode_pixels_per_second=1e6,
)
CLIP = Clip(width=64, height=64, frames=9, steps=4, guidance=4.0)


def record(observed: float = 3.0, **changes: object) -> Record:
    asked = request()
    values: dict[str, object] = {
        "kind": Kind.RUN,
        "ended_at": time.time(),
        "deployment": "pocket",
        "model": "t2v-pocket",
        "device": "a",
        "plan_key": plan_key(PLAN),
        "plan": PLAN,
        "first": False,
        "versions": Versions(driver="580.1", torch="2.9", diffusers="0.42"),
        "clip": CLIP,
        "request": asked,
        "basis": "calibrated",
        "runs": 3,
        "figures": (
            Figure(stage=TOTAL, modelled=2.0, low=1.5, expected=2.5, high=4.0, observed=observed),
            Figure(stage=Phase.VAE_DECODE, modelled=1.0, low=0.8, expected=1.2, high=2.0, observed=observed / 2),
            Figure(stage=Phase.IMAGE_ENCODE, observed=0.1),
            Figure(stage=Phase.VAE_DECODE, unit=Unit.BYTES, modelled=2**31, expected=2.0**31, observed=2**30),
        ),
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]


def ratios(history: History, unit: Unit = Unit.SECONDS, kind: Kind = Kind.RUN, device: str = "a") -> list[float]:
    found = history.observations(kind, unit, model="t2v-pocket", device=device)
    return [observation.observed / observation.modelled for observation in found]


def test_what_was_recorded_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history.sqlite3"
    history, kept = History(path), record()
    history.record(kept)
    history.record_rate("t2v-pocket", "a", RATE)
    history.close()
    again = History(path)
    assert again.problem is None
    assert again.rate("t2v-pocket", "a") == RATE
    assert again.rate("t2v-pocket", "b") is None
    assert again.libraries() == kept.versions
    again.close()
    assert read_history(path) == [kept]


def test_calibration_learns_stages_in_seconds_and_phases_in_bytes_but_no_totals(tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite3")
    history.record(record(3.0, first=True))
    history.record(record(9.0, kind=Kind.LOAD, clip=None, request=None, figures=record(9.0).figures[:1]))
    history.close()
    again = History(tmp_path / "history.sqlite3")
    (seconds,) = again.observations(Kind.RUN, Unit.SECONDS, model="t2v-pocket", device="a")
    assert (seconds.modelled, seconds.observed) == (1.0, 1.5)
    assert (seconds.subject.stage, seconds.subject.first, seconds.subject.clip) == ("vae_decode", True, CLIP)
    assert seconds.subject.versions == "driver 580.1 torch 2.9 diffusers 0.42"
    (size,) = again.observations(Kind.RUN, Unit.BYTES, model="t2v-pocket", device="a")
    assert size.observed == 2**30
    assert not size.subject.first, "warming up costs time, not memory"
    assert ratios(again, kind=Kind.LOAD) == [4.5]
    again.close()


def test_runs_of_this_model_on_this_device_come_first_and_newest_first(tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite3")
    for number, device in enumerate(("b", "a", "a", "b")):
        history.record(record(2.0 + number, device=device, ended_at=100.0 + number))
    history.close()
    again = History(tmp_path / "history.sqlite3")
    assert ratios(again) == [2.0, 1.5, 2.5, 1.0]
    again.close()


def test_it_does_not_grow_without_bound(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    history = History(path, records_kept=5)
    for number in range(12):
        history.record(record(1.0 + number))
    history.close()
    assert [kept.total.observed for kept in read_history(path) if kept.total] == [12.0, 11.0, 10.0, 9.0, 8.0]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT COUNT(*) FROM figures").fetchone() == (5 * 4,)
    database.close()


def test_figures_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    history = History(path)
    history.record(record(float("nan")))
    history.close()
    assert history.problem is None
    (kept,) = read_history(path)
    assert [figure.unit for figure in kept.figures] == [Unit.SECONDS, Unit.BYTES]


def test_a_file_of_schema_1_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    with sqlite3.connect(path) as old:
        old.executescript(OLD_SCHEMA.read_text())
    old.close()
    before = path.read_bytes()
    read_only = read_history(path)
    assert path.read_bytes() == before, "reading changes nothing"

    history = History(path)
    assert history.problem is None
    assert history.rate("t2v-pocket", "cpu Intel(R) Xeon(R) x2 fp32 none") is not None
    assert ratios(history, device="cpu Intel(R) Xeon(R) x2") == [], "their stages had no modelled figures"
    history.record(record())
    history.close()

    newest, second, first = read_history(path)
    assert read_only == [second, first]
    assert newest.uid != second.uid
    assert (first.first, second.first) == (True, False)
    assert first.deployment == "pocket"
    assert first.device == "cpu Intel(R) Xeon(R) x2"
    assert first.clip == Clip(width=64, height=64, frames=9, steps=4, guidance=4.0)
    assert first.request is not None
    assert first.request.prompt == "a red circle moving right"
    assert first.plan is not None
    assert first.plan_key == plan_key(first.plan)
    assert first.total is not None
    assert (first.total.modelled, first.total.expected, first.total.observed) == (0.08, 0.08, 0.2)
    decode = first.figure(Phase.VAE_DECODE)
    assert decode is not None
    assert (decode.modelled, decode.observed) == (None, 0.12)
    assert second.plan_key == "", "a plan that cannot be read any more leaves the row"
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert database.execute("SELECT name FROM sqlite_master WHERE name = 'runs'").fetchall() == []
    database.close()


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    with sqlite3.connect(path) as old:
        old.executescript(OLD_SCHEMA.read_text())
        old.execute("CREATE TABLE figures (something TEXT)")
    old.close()
    before = path.read_bytes()
    history = History(path)
    assert history.problem is not None
    assert "set aside" in history.problem
    history.close()
    (aside,) = tmp_path.glob("history.sqlite3.unreadable-*")
    with sqlite3.connect(aside) as database:
        assert database.execute("SELECT COUNT(*) FROM runs").fetchone() == (2,)
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    database.close()
    assert len(aside.read_bytes()) == len(before)


@pytest.mark.parametrize("damage", ["garbage", "newer"])
def test_a_file_that_is_not_ours_is_set_aside_whole(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "history.sqlite3"
    if damage == "garbage":
        path.write_bytes(b"this is not a database" * 1000)
    else:
        with sqlite3.connect(path) as newer:
            newer.execute("PRAGMA user_version = 999")
        newer.close()
    before = path.read_bytes()
    with pytest.raises(WanTuiError, match="cannot be read"):
        read_history(path)
    with pytest.raises(WanTuiError, match="cannot be changed"):
        reset(path)
    assert path.read_bytes() == before, "reading and resetting leave it where it is"
    history = History(path)
    assert history.problem is not None
    assert "set aside" in history.problem
    (aside,) = tmp_path.glob("history.sqlite3.unreadable-*")
    assert aside.read_bytes() == before
    history.record(record())
    history.close()
    assert len(read_history(path)) == 1


def test_a_place_that_cannot_be_written_keeps_it_in_memory() -> None:
    history = History(Path("/proc/nowhere/history.sqlite3"))
    assert history.problem is not None
    assert "in memory only" in history.problem
    history.record_rate("t2v-pocket", "a", RATE)
    history.close()


def test_two_engines_share_the_file(tmp_path: Path) -> None:
    first, second = History(tmp_path / "h.sqlite3"), History(tmp_path / "h.sqlite3")
    first.record(record(2.0))
    second.record(record(4.0))
    first.close()
    second.close()
    again = History(tmp_path / "h.sqlite3")
    assert sorted(ratios(again)) == [1.0, 2.0]
    again.close()


def test_it_is_read_while_an_engine_writes(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    assert read_history(path) == [], "no file is no history"
    history = History(path)
    history.record(record(deployment="story"))
    history.record(record(deployment="pocket", ended_at=1000.0))
    history._writing.submit(lambda: None).result()
    assert [kept.deployment for kept in read_history(path)] == ["story", "pocket"]
    assert [kept.deployment for kept in read_history(path, deployment="pocket")] == ["pocket"]
    assert [kept.deployment for kept in read_history(path, since=2000.0)] == ["story"]
    assert len(read_history(path, limit=1)) == 1
    history.close()


def test_a_reset_takes_runs_out_of_calibration_and_a_merge_brings_them_back(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    history, kept = History(path), [record(deployment="story"), record(device="b"), record()]
    for one in kept:
        history.record(one)
    history._writing.submit(lambda: None).result()
    assert reset(path, deployment="story") == 1
    assert reset(path, device="b") == 1
    assert len(ratios(history)) == 1, "an engine that runs sees it at once"
    assert reset(path) == 1
    assert ratios(history) == []
    assert len(read_history(path)) == 3, "what happened stays known"
    new = replace(record(), uid="from-elsewhere")
    merged = merge(path, [*kept, new])
    assert (merged.added, merged.restored, merged.known) == (1, 3, 0)
    merged = merge(path, [*kept, new])
    assert (merged.added, merged.restored, merged.known) == (0, 0, 4)
    assert len(ratios(history)) == 4
    history.close()


def test_the_shown_interval_is_whole_or_absent() -> None:
    assert record().figures[0].shown == Bounds(1.5, 2.5, 4.0)
    assert record().figures[3].shown is None
