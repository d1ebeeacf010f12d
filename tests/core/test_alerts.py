"""Alerts of the engine: how long a condition must hold, how counters grow, what comes first."""

from dataclasses import replace

from tests import snapshots
from wan_tui.core.alerts.watch import AlertWatch, CounterTrace


def test_an_alert_fires_when_its_condition_has_held_for_its_time_and_ends_with_it() -> None:
    snapshot, watch = snapshots.eight_gpus_one_lost(), AlertWatch()
    at = snapshot.taken_at

    def lost(seconds: float, up: bool = False) -> list[str]:
        gpus = tuple(replace(gpu, up=True) for gpu in snapshot.gpus) if up else snapshot.gpus
        found = watch.look(replace(snapshot, taken_at=at + seconds, gpus=gpus))
        return [alert.subject for alert in found if alert.name == "WanTuiGpuLost"]

    assert lost(0) == []
    assert lost(119) == []
    assert lost(120) == ["gpu:6"]
    assert lost(130, up=True) == []
    assert lost(140) == [], "it begins anew"


def test_the_worst_come_first_and_then_the_longest() -> None:
    snapshot, watch = snapshots.eight_gpus_one_lost(), AlertWatch()
    for seconds in (0, 3600):
        firing = watch.look(replace(snapshot, taken_at=snapshot.taken_at + seconds))
    order = ["critical", "warning", "info"]
    ranks = [(order.index(alert.severity), alert.since) for alert in firing]
    assert len(ranks) >= 2
    assert ranks == sorted(ranks)


def test_a_counter_grows_within_a_window_and_survives_a_restart() -> None:
    trace = CounterTrace()

    def add(at: float, value: float) -> None:
        trace.add(at, {("oom", "story"): value})

    add(0, 5)
    assert trace.increase("oom", "story", 900) == 0, "what was there before counts not"
    add(60, 6)
    add(120, 8)
    assert trace.increase("oom", "story", 900) == 3
    assert trace.increase("oom", "story", 60) == 2
    add(180, 1)
    assert trace.increase("oom", "story", 900) == 4, "it began anew, from 0"
    add(5000, 1)
    assert trace.increase("oom", "story", 900) == 0
    assert trace.increase("oom", "nobody", 900) == 0


def test_six_hours_of_counters_are_kept_and_no_more() -> None:
    trace = CounterTrace()
    for at in range(0, 10 * 3600, 10):
        trace.add(at, {("oom", "story"): at / 10})
    assert len(trace._times) <= 6 * 120 + 2
    assert abs(trace.increase("oom", "story", 6 * 3600) - 2160) <= 3
