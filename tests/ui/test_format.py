"""Snapshot to lines: exact widths, nothing invented, nothing harmful."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from rich.cells import cell_len

from tests import snapshots
from tests.snapshot_parts import AT, time_estimate
from wan_tui.core.runtime.state import EventLog, LogEvent
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import Basis, JobState, LoadState
from wan_tui.ui import format, format_deployments, format_devices, format_jobs, format_logs
from wan_tui.ui.glyphs import to_ascii
from wan_tui.ui.text import Frame, View, line_width, meter, pad, share_rows, shorten, text, wrap

SITUATIONS = [
    snapshots.empty_host,
    snapshots.pocket_running,
    snapshots.eight_gpus_one_lost,
    snapshots.incompatible,
]


def frames(snapshot: Snapshot, view: View) -> list[Frame]:
    job = format_jobs.job_to_watch(snapshot)
    name = snapshot.deployments[0].name if snapshot.deployments else None
    return [
        format_devices.devices(snapshot, None, view),
        format_deployments.deployments(snapshot, view, explain=True),
        format_deployments.deployment_detail(snapshot, name, view),
        format_deployments.models(snapshot, view),
        format.header((("1", "Overview", "Over"),), "1", (), snapshot, (), view),
        format_jobs.job_panel(snapshot, job, (), view, full=True),
        format_jobs.job_list(snapshot, view),
        format_logs.rows(format_logs.of_events(snapshot), "", view),
        format_jobs.events(snapshot, view),
    ]


def plain(frame: Frame) -> str:
    lines = [*frame.head, *(row.line for row in frame.rows)]
    return "\n".join("".join(span.text for span in line) for line in lines)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("width", [60, 79, 80, 100, 160])
def test_every_line_has_exactly_the_width_asked_for(situation: Callable[[], Snapshot], width: int) -> None:
    for frame in frames(situation(), View(width, 20, cursor="story")):
        for line in (*frame.head, *(row.line for row in frame.rows)):
            assert line_width(line) == width


def test_a_gpu_whose_fields_are_all_unknown_shows_dashes_and_never_zero() -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    bare = replace(snapshots.empty_host(), gpus=(replace(snapshot.gpus[6], up=True, error=None),))
    row = plain(format_devices.devices(bare, None, View(160, 20))).splitlines()[2]
    assert "--" in row
    assert "0" not in row.replace("H100 80GB HBM3", "").replace("  6  ", "")


def test_columns_drop_whole_and_the_least_important_first() -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    titles = [plain(format_devices.devices(snapshot, None, View(width, 20))).splitlines()[1] for width in (160, 80, 60)]
    assert "PROCESSES" in titles[0]
    assert "POWER W" in titles[1]
    assert "PROCESSES" not in titles[1]
    assert "POWER W" not in titles[2]
    assert "MEMORY GiB" in titles[2]


def test_estimate_stands_beside_observation() -> None:
    table = plain(format_deployments.deployments(snapshots.pocket_running(), View(140, 20), explain=False))
    assert "4.0 s → 4.4 s" in table
    assert "0.1 / 32.0" in table


def test_a_finished_job_shows_time_estimate_error_and_output() -> None:
    snapshot = snapshots.pocket_running()
    job = next(job for job in snapshot.jobs if job.state is JobState.FINISHED)
    panel = plain(format_jobs.job_panel(snapshot, job, (), View(80, 20), full=False))
    assert "took 4.4 s" in panel
    assert "estimated 4.2 s (+5.3 %) modelled" in panel
    assert "/var/lib/wan/outputs/job-1.mp4" in panel


def test_a_failed_job_says_why_in_words() -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    job = next(job for job in snapshot.jobs if job.state is JobState.FAILED)
    panel = plain(format_jobs.job_panel(snapshot, job, (), View(80, 20), full=False))
    assert "worker died: the worker exited with signal 9 at step 31 of 50" in panel
    assert "failed after 06:30" in panel


def test_a_queued_job_says_what_it_waits_for() -> None:
    snapshot = snapshots.pocket_running()
    loading = replace(snapshot.deployments[0], state=LoadState.LOADING, load_stage="weights", load_progress_ratio=0.45)
    snapshot = replace(snapshot, deployments=(loading,))
    queued = next(job for job in snapshot.jobs if job.state is JobState.QUEUED)
    panel = plain(format_jobs.job_panel(snapshot, queued, (), View(80, 20), full=False))
    assert "loading pocket (weights)" in panel
    assert "45 %" in panel
    assert "note: frames: 16 rounded to 17 (4k+1)" in panel
    assert "loading 45 %" in plain(format_deployments.deployments(snapshot, View(80, 20), explain=False))


def test_running_jobs_come_first_then_the_queue_then_what_ended() -> None:
    order = [job.id for job in format_jobs.in_order(snapshots.eight_gpus_one_lost())]
    assert order == ["job-102", "job-103", "job-77", "job-101"]


def test_the_queue_is_shown_as_it_will_run() -> None:
    snapshot = snapshots.pocket_running()
    queued = next(job for job in snapshot.jobs if job.state is JobState.QUEUED)
    urgent = replace(queued, id="urgent", request=replace(queued.request, priority=3))
    begun = replace(queued, id="begun", begun=True)
    jobs = tuple(job for job in (*snapshot.jobs, urgent, begun) if job.state is JobState.QUEUED)
    order = [job.id for job in format_jobs.in_order(replace(snapshot, jobs=jobs))]
    assert order == ["begun", "urgent", queued.id]


def test_an_interrupted_job_says_so_and_after_what() -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    failed = next(job for job in snapshot.jobs if job.state is JobState.FAILED)
    job = replace(failed, state=JobState.INTERRUPTED, failure=None)
    panel = plain(format_jobs.job_panel(snapshot, job, (), View(80, 20), full=False))
    assert "interrupted after 06:30" in panel
    assert "step 31/50" in panel
    assert "interrupted" in plain(format_jobs.job_list(replace(snapshot, jobs=(job,)), View(80, 20)))


def test_control_characters_from_outside_never_reach_the_terminal() -> None:
    evil = LogEvent(AT, "error", "x\x1b[2J", "a\x1b]0;title\x07b\nc\u202ed")
    snapshot = replace(snapshots.empty_host(), log=EventLog((evil,)))
    view = View(80, 20)
    for frame in (
        format_logs.rows(format_logs.of_events(snapshot), "", view),
        format_jobs.events(snapshot, view),
    ):
        for line in plain(frame).splitlines():
            assert line.isprintable()


def test_a_long_message_goes_on_in_the_next_line() -> None:
    event = LogEvent(AT, "info", "engine", "word " * 40 + "end")
    log = plain(
        format_logs.rows(
            format_logs.of_events(replace(snapshots.empty_host(), log=EventLog((event,)))), "", View(80, 20)
        )
    )
    assert log.count("word") == 40
    assert "end" in log


def test_the_first_step_is_offered_only_while_there_is_nothing_to_look_at() -> None:
    running = snapshots.pocket_running()
    unloaded = replace(running.deployments[0], state=LoadState.UNLOADED)
    idle = replace(running, jobs=(), deployments=(unloaded,))
    said = "".join(span.text for span in format_deployments.next_step(idle))
    assert said == 'press  g  and type "a red circle moving right": the pocket model draws it'
    assert format_deployments.next_step(running) == ()
    assert format_deployments.next_step(snapshots.empty_host()) == ()


@pytest.mark.parametrize("value", ["", "word", "two words", "a界b界 c界", "x" * 50, "  spaced  out  ", "one, two"])
def test_text_fits_whatever_the_width(value: str) -> None:
    for width in range(1, 40):
        assert cell_len(shorten(value, width)) <= width
        assert line_width(pad(text(value), width)) == width
        for most in (1, 2, 3):
            lines = wrap(value, max(width, 2), most)
            assert len(lines) <= most
            assert all(cell_len(line) <= max(width, 2) for line in lines)


def test_words_are_cut_between_words() -> None:
    assert shorten("GPU is lost: it has fallen off the bus", 20) == "GPU is lost: it has…"


@pytest.mark.parametrize("ratio", [None, 0.0, 0.001, 0.5, 1.0, 1.7])
def test_a_meter_never_changes_its_width(ratio: float | None) -> None:
    assert line_width(meter(ratio, 12)) == 12


def test_rows_are_shared_by_importance_but_everyone_gets_the_least() -> None:
    assert share_rows(30, (3, 7, 10), (3, 5, 5)) == [3, 7, 10]
    assert share_rows(17, (3, 7, 10), (3, 5, 5)) == [3, 7, 7]
    assert share_rows(13, (3, 9, 10), (3, 5, 5)) == [3, 5, 5]


def test_ascii_keeps_every_cell() -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    for frame in map(partial(to_ascii_frame), frames(snapshot, View(80, 20))):
        for line in frame.splitlines():
            assert line.isascii()
            assert len(line) == 80


def to_ascii_frame(frame: Frame) -> str:
    return "\n".join(to_ascii(line) for line in plain(frame).splitlines())


def test_an_estimate_says_how_many_runs_corrected_it() -> None:
    snapshot = snapshots.pocket_running()
    job = next(job for job in snapshot.jobs if job.state is JobState.RUNNING)
    assert job.estimate is not None
    job = replace(job, estimate=replace(job.estimate, runs=12))
    wide, narrow = (plain(format_jobs.job_panel(snapshot, job, (), View(width, 20), full=False)) for width in (100, 80))
    assert "est. 4.0 s calibrated (12 runs)" in wide
    assert "est. 4.0 s calibrated" in narrow, "the basis stays where the runs have no room"
    assert "runs" not in narrow
    one = replace(job, estimate=replace(time_estimate(4.0, Basis.CALIBRATED), runs=1))
    assert "calibrated (1 run)" in plain(format_jobs.job_panel(snapshot, one, (), View(100, 20), full=False))
