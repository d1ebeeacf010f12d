"""The history in lines: exact widths, honest figures, and plots that say what they show."""

from dataclasses import replace

import pytest

from tests import snapshots
from tests.past_runs import a_week, past_load, past_run
from tests.snapshot_parts import AT
from wan_tui.core.runtime.past import PastFigure
from wan_tui.ui import format_job_detail, format_past
from wan_tui.ui.glyphs import to_ascii
from wan_tui.ui.text import Frame, Role, View, line_width

WEEK = a_week()


def lines(frame: Frame) -> list[str]:
    return ["".join(span.text for span in line) for line in (*frame.head, *(row.line for row in frame.rows))]


def frames(view: View) -> list[Frame]:
    snapshot = snapshots.pocket_running()
    return [
        format_past.past_list(WEEK, 900, (), AT, view),
        format_past.past_list([], 0, (), AT, view),
        *(format_past.past_detail(run, AT, view) for run in (WEEK[0], WEEK[6], WEEK[9])),
        format_past.scatter(WEEK, "run-3", False, view),
        format_past.trend(WEEK, WEEK[3], False, view),
        format_past.scatter([], None, True, view),
        format_past.trend([], None, True, view),
        *(format_job_detail.job_detail(snapshot, job, view) for job in snapshot.jobs),
        format_job_detail.sidecar('{"prompt": "' + "long " * 60 + '"}', None, view),
        format_job_detail.sidecar(None, "/var/lib/" + "x" * 200 + ".json: cannot be read", view),
    ]


@pytest.mark.parametrize("width", [44, 60, 80, 91, 160, 200])
@pytest.mark.parametrize("height", [3, 12, 40])
def test_every_line_has_exactly_the_width_asked_for(width: int, height: int) -> None:
    for frame in frames(View(width, height, "run-3", True)):
        for line in (*frame.head, *(row.line for row in frame.rows)):
            assert line_width(line) == width
            shown = "".join(span.text for span in line)
            assert len(to_ascii(shown)) == line_width(line)


def test_the_table_says_how_many_there_are_beyond_it() -> None:
    assert "60 of 900" in lines(format_past.past_list(WEEK, 900, (), AT, View(100, 40)))[0]
    assert lines(format_past.past_list(WEEK, 60, (), AT, View(100, 40)))[0].rstrip().endswith("─ 60")


def test_a_run_older_than_a_day_has_its_date() -> None:
    table = lines(format_past.past_list([past_run(0), past_run(60)], 2, (), AT, View(100, 40)))
    assert "16:00:00" in table[2]
    assert "2025-11-23" in table[3]


def test_what_was_never_estimated_has_no_error() -> None:
    (row,) = format_past.past_list([WEEK[6]], 1, (), AT, View(100, 40)).rows
    assert "--" in "".join(span.text for span in row.line)
    assert format_past.error_ratio(WEEK[6].total) is None


def test_outside_its_interval_is_a_mark_and_far_off_a_colour() -> None:
    def cell(observed: float) -> tuple[str, Role]:
        figure = PastFigure(stage="total", unit="seconds", low=90.0, expected=100.0, high=112.0, observed=observed)
        ((text, role),) = format_past.error_cell(figure)
        return text, role

    assert cell(105.0) == ("+5.0 %", Role.DIM)
    assert cell(113.0) == ("! +13.0 %", Role.WARN)
    assert cell(60.0) == ("! -40.0 %", Role.WARN)


def test_steps_cost_what_both_experts_took_over_their_number() -> None:
    run = past_run(0, estimated=100.0, observed=100.0)
    assert format_past.step_seconds(run) == pytest.approx((0.5 + 0.4) * 100 / 40)
    assert format_past.step_seconds(past_load(0)) is None


def test_only_equal_runs_are_compared_over_time_oldest_first() -> None:
    same = format_past.alike(WEEK, WEEK[0])
    assert len(same) > 5
    assert {(run.clip.width, run.clip.frames) for run in same if run.clip} == {(832, 81)}
    assert [run.ended_at for run in same] == sorted(run.ended_at for run in same)
    assert format_past.alike(WEEK, past_load(0)) == same, "a load has no steps: the newest run is meant"
    slower = replace(WEEK[0], device="another card")
    assert format_past.alike([slower, *WEEK], slower) == [slower]


def test_accuracy_is_the_median_error_and_how_often_the_interval_held() -> None:
    runs = [past_run(n, estimated=100.0, observed=observed) for n, observed in enumerate((100.0, 104.0, 130.0))]
    (span,) = format_past.accuracy(runs)
    assert span.text == "median error 4.0 % · 2 of 3 in their interval"
    assert format_past.accuracy([past_load(0)]) == ()


def test_a_detail_names_every_stage_its_interval_and_the_memory() -> None:
    shown = "\n".join(lines(format_past.past_detail(WEEK[1], AT, View(100, 40))))
    for part in ("text encode", "denoise low noise", "vae decode", "total", "MEMORY AT THE PEAK OF", "18.6 GiB – 22.4"):
        assert part in shown
    assert "torch 2.13.0" in shown
    assert "estimate calibrated (12 runs)" in shown


def test_a_sidecar_is_indented_and_what_is_no_json_stays_as_it_is() -> None:
    shown = lines(format_job_detail.sidecar('{"a":{"b":1}}', None, View(60, 20)))
    assert [line.rstrip() for line in shown[1:]] == ["   {", '     "a": {', '       "b": 1', "     }", "   }"]
    assert "not json" in lines(format_job_detail.sidecar("not json", None, View(60, 20)))[1]
