"""The history file: kept, read back, set aside when it is not ours, never fatal."""

import sqlite3
from pathlib import Path

import pytest

from tests.core.runtime.harness import request
from wan_tui.core.history import RUNS_FOR_CALIBRATION, History, Run
from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.plan import ExecutionPlan, StageSeconds
from wan_tui.core.words import OffloadMode, Phase, Precision

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


def run(observed: float, *, warm: bool = True, device: str = "a") -> Run:
    return Run(
        model="t2v-pocket",
        device=device,
        warm=warm,
        request=request(),
        plan=PLAN,
        modelled_seconds=2.0,
        estimated_seconds=2.0,
        observed_seconds=observed,
        stages=(StageSeconds(Phase.VAE_DECODE, 0.5),),
    )


def test_what_was_recorded_is_there_after_a_restart(tmp_path: Path) -> None:
    history = History(tmp_path / "deep" / "history.sqlite3")
    history.record_run(run(3.0))
    history.record_rate("t2v-pocket", "a", RATE)
    history.close()
    again = History(tmp_path / "deep" / "history.sqlite3")
    assert again.problem is None
    assert again.past_ratios("t2v-pocket", "a", warm=True) == [1.5]
    assert again.rate("t2v-pocket", "a") == RATE
    assert again.rate("t2v-pocket", "b") is None
    again.close()


def test_ratios_are_of_this_device_and_warmth_newest_first_and_not_too_many(tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite3")
    history.record_run(run(100.0, device="b"))
    history.record_run(run(100.0, warm=False))
    for number in range(RUNS_FOR_CALIBRATION + 5):
        history.record_run(run(2.0 + number))
    history.close()
    again = History(tmp_path / "history.sqlite3")
    ratios = again.past_ratios("t2v-pocket", "a", warm=True)
    assert len(ratios) == RUNS_FOR_CALIBRATION
    assert ratios[0] == pytest.approx((2.0 + RUNS_FOR_CALIBRATION + 4) / 2)
    again.close()


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
    history = History(path)
    assert history.problem is not None
    assert "set aside" in history.problem
    (aside,) = tmp_path.glob("history.sqlite3.unreadable-*")
    assert aside.read_bytes() == before
    history.record_run(run(4.0))
    history.close()
    assert History(path).past_ratios("t2v-pocket", "a", warm=True) == [2.0]


def test_a_place_that_cannot_be_written_keeps_it_in_memory() -> None:
    history = History(Path("/proc/nowhere/history.sqlite3"))
    assert history.problem is not None
    assert "in memory only" in history.problem
    history.record_rate("t2v-pocket", "a", RATE)
    history.close()


def test_two_engines_share_the_file(tmp_path: Path) -> None:
    first, second = History(tmp_path / "h.sqlite3"), History(tmp_path / "h.sqlite3")
    first.record_run(run(2.0))
    second.record_run(run(4.0))
    first.close()
    second.close()
    again = History(tmp_path / "h.sqlite3")
    assert sorted(again.past_ratios("t2v-pocket", "a", warm=True)) == [1.0, 2.0]
    again.close()
