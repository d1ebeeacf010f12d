"""Jobs and history as their operator meets them, on a client without an engine."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests import snapshots
from tests.past_runs import a_week, past_run
from tests.ui.conftest import Drive, Driver
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.runtime.state import JobFailure
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import JobFailureReason, JobState
from wan_tui.ui.screens import jobs as jobs_screen
from wan_tui.ui.screens.confirm import Confirm
from wan_tui.ui.screens.export import Export
from wan_tui.ui.screens.generate import GenerateScreen
from wan_tui.ui.screens.job_detail import JobDetail, PastDetail
from wan_tui.ui.screens.jobs import JobsScreen
from wan_tui.ui.widgets.rows import SelectableRows


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for a disk or for the next letter: the client answers from memory."""
    monkeypatch.setattr(jobs_screen, "_SETTLE_SECONDS", 0.001)
    monkeypatch.setattr(jobs_screen, "_TYPING_SECONDS", 0.001)


def out_of_memory() -> Snapshot:
    """The finished job of ``pocket_running`` ran out of memory instead."""
    snapshot = snapshots.pocket_running()
    failed = replace(
        snapshot.jobs[0],
        state=JobState.FAILED,
        output=None,
        observed_seconds=None,
        failure=JobFailure(
            JobFailureReason.OUT_OF_MEMORY,
            "CUDA out of memory: tried to allocate 2.10 GiB, 0.1 GiB free; choose fewer frames or the profile low-vram",
        ),
    )
    return replace(snapshot, jobs=(failed, *snapshot.jobs[1:]))


async def opened(it: Driver) -> None:
    it.client.runs = a_week()
    await it.press("6")
    assert isinstance(it.app.screen, JobsScreen)
    await it.settle()


# -- the queue


async def test_the_queue_and_the_history_stand_one_above_the_other(drive: Drive) -> None:
    for size in ((80, 24), (60, 20)):
        async with drive(snapshots.pocket_running(), size=size) as it:
            await opened(it)
            shown = it.screen_text()
            assert [row.split()[0] for row in it.rows("#queue")[2:]] == ["›", "job-3", "job-1"]
            assert "60" in it.rows("#past")[0]
            assert "run" in shown or "03:5" in shown
            assert "q quit" in shown
            first = it.rows("#past")[2]
            assert "16:00:00" in first


async def test_a_waiting_job_is_moved_cancelled_and_removed_and_each_is_acknowledged(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await opened(it)
        await it.press("j", "K")
        assert it.client.commands == [("move up", "job-3")]
        assert it.text("#status") == " ✓ move job-3 up: accepted"
        await it.press("J")
        assert it.client.commands[-1] == ("move down", "job-3")
        await it.press("c")
        assert isinstance(it.app.screen, Confirm)
        await it.press("y")
        assert it.client.commands[-1] == ("cancel", "job-3")
        await it.press("d")
        assert "Remove job-3 from the list?" in it.screen_text()
        assert "It will not be made." in it.screen_text()
        await it.press("enter")
        assert it.client.commands[-1] == ("cancel", "job-3"), "No is the default"
        await it.press("d", "y")
        assert it.client.commands[-1] == ("remove", "job-3")


async def test_what_runs_cannot_be_moved_or_removed(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        await opened(it)
        assert it.app.screen.query_one("#queue", SelectableRows).cursor == "job-2"
        await it.press("K", "d", "v", "y")
        assert it.client.commands == []
        assert isinstance(it.app.screen, JobsScreen)
        assert "remove" not in it.text("#keys")


async def test_an_ended_job_is_made_again_under_a_new_name(drive: Drive) -> None:
    before = snapshots.pocket_running()
    named = replace(before.jobs[0], request=replace(before.jobs[0].request, output="/var/lib/wan/outputs/job-1.mp4"))
    async with drive(replace(before, jobs=(named, *before.jobs[1:]))) as it:
        await opened(it)
        await it.press("j", "j", "R")
        (request,) = it.client.requests
        assert (request.prompt, request.seed, request.output) == ("a green triangle moving left", 42, None)
        assert "accepted as job-101" in it.text("#status")


async def test_several_videos_of_a_job_are_named_and_played(drive: Drive) -> None:
    before = snapshots.pocket_running()
    several = replace(
        before.jobs[0],
        request=replace(before.jobs[0].request, videos=2),
        output="/out/fox-1.mp4",
        more_outputs=("/out/fox-2.mp4",),
    )
    async with drive(replace(before, jobs=(several, *before.jobs[1:])), size=(100, 34)) as it:
        await opened(it)
        await it.press("j", "j", "enter")
        shown = it.text("#job-text")
        assert "2 videos" in shown
        assert "/out/fox-1.mp4" in shown
        assert "/out/fox-2.mp4" in shown
        await it.press("v")
        assert "video 1 of 2" in it.text("#player-head")


async def test_the_path_of_a_video_is_copied(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await opened(it)
        await it.press("j", "j", "y")
        assert it.app.clipboard == "/var/lib/wan/outputs/job-1.mp4"
        assert "copied /var/lib/wan/outputs/job-1.mp4" in it.text("#status")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UsageError("job job-3 is first in the queue already"), "job job-3 is first in the queue already"),
        (WanTuiError("no agent answers at /run/wan.sock: Connection refused"), "no agent answers"),
    ],
)
async def test_a_refusal_is_one_line(drive: Drive, error: Exception, said: str) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await opened(it)
        it.client.refusal = error
        await it.press("j", "K")
        assert f"✗ move job-3 up: {said}" in it.text("#status")


# -- one job


async def test_enter_opens_a_job_with_all_its_stages_and_esc_goes_back(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(100, 34)) as it:
        it.client.sidecars["/var/lib/wan/outputs/job-1.mp4"] = '{"seed": 42, "frames_sha256": "abc"}'
        await opened(it)
        await it.press("j", "j", "enter")
        assert isinstance(it.app.screen, JobDetail)
        shown = it.text("#job-text")
        for stage in ("text encode", "denoise high noise", "denoise low noise", "vae decode", "write output", "total"):
            assert stage in shown
        assert "ESTIMATED" in shown
        assert '"frames_sha256": "abc"' in shown
        assert "Jobs" in it.text("#header")
        assert "job-1" in it.text("#header")
        await it.press("escape")
        assert isinstance(it.app.screen, JobsScreen)


async def test_a_failed_job_says_why_in_full(drive: Drive) -> None:
    async with drive(out_of_memory(), size=(100, 34)) as it:
        await opened(it)
        await it.press("j", "j", "enter")
        shown = " ".join(it.text("#job-text").split())
        assert "✗ out of memory: CUDA out of memory: tried to allocate 2.10 GiB" in shown
        assert "choose fewer frames or the profile low-vram" in shown
        await it.press("R")
        assert len(it.client.requests) == 1


async def test_a_running_job_is_live_on_its_page_and_its_notices_are_there(drive: Drive) -> None:
    before = snapshots.pocket_running()
    async with drive(before, size=(160, 48)) as it:
        await opened(it)
        await it.press("enter")
        assert "running" in it.text("#job-text")
        running = replace(before.jobs[1], state=JobState.CANCELLED, ended_at=before.taken_at)
        await it.publish(replace(before, number=58, jobs=(before.jobs[0], running, before.jobs[2])))
        assert "cancelled" in it.text("#job-text")
        await it.press("escape", "enter")
        assert "frames: 16 rounded to 17 (4k+1)" in it.text("#job-text")


async def test_without_a_sidecar_the_page_says_what_is_missing(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        await opened(it)
        await it.press("j", "j", "enter")
        shown = " ".join(it.text("#job-sidecar").split())
        assert "/var/lib/wan/outputs/job-1.json: cannot be read: No such file or directory" in shown


async def test_a_job_that_is_gone_from_the_list_keeps_its_page(drive: Drive) -> None:
    before = snapshots.pocket_running()
    async with drive(before) as it:
        await opened(it)
        await it.press("j", "j", "enter")
        await it.publish(replace(before, number=58, jobs=before.jobs[1:]))
        assert "a green triangle" in it.text("#job-text")


# -- the history


async def test_the_history_shows_estimates_beside_observations_and_marks_what_was_far_off(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        await opened(it)
        rows = it.rows("#past")
        assert "ERROR" in rows[1]
        assert any("03:50" in row and "! +94.9 %" in row for row in rows), "a mark, not only a colour"
        assert any("load" in row and "41 s" in row for row in rows)


async def test_enter_on_a_past_run_opens_it_and_it_can_be_repeated(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(100, 40)) as it:
        await opened(it)
        await it.press("tab", "j", "enter")
        assert isinstance(it.app.screen, PastDetail)
        shown = it.text("#job-text")
        assert "BETWEEN" in shown
        assert "MEMORY AT THE PEAK OF" in shown
        assert "20.0 GiB" in shown
        await it.press("R")
        assert it.client.requests[-1].prompt == "a red fox runs through fresh snow, take 1"


async def test_more_of_the_history_comes_when_the_cursor_reaches_the_end(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        it.client.runs = [past_run(number) for number in range(450)]
        await it.press("6")
        await it.settle()
        assert "200 of 450" in it.rows("#past")[0]
        await it.press("tab", "end")
        assert "400 of 450" in it.rows("#past")[0]
        await it.press("end")
        assert len(it.app.screen.query_one("#past", SelectableRows).keys) == 450


async def test_a_filter_asks_the_engine_which_knows_more_than_is_shown(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        it.client.runs = [past_run(number) for number in range(450)]
        await it.press("6")
        await it.press("tab", "slash", *"take 433", "enter")
        await it.pilot.pause(0.05)
        assert "/ take 433" in it.rows("#past")[0]
        assert it.app.screen.query_one("#past", SelectableRows).keys == ["run-433"]
        assert it.client.asked_for[-1].words == ("take", "433")
        await it.press("escape")
        await it.pilot.pause(0.05)
        assert "200 of 450" in it.rows("#past")[0]


async def test_a_filter_that_means_nothing_is_told_beside_the_title(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        await opened(it)
        await it.press("tab", "slash", *"kind:walk", "enter")
        await it.pilot.pause(0.05)
        assert "kind 'walk': must be run or load" in it.rows("#past")[0]


async def test_a_run_that_finishes_appears_without_asking(drive: Drive) -> None:
    before = snapshots.pocket_running()
    async with drive(before) as it:
        await opened(it)
        it.client.runs.insert(0, past_run(0, uid="new", deployment="fresh"))
        totals = replace(before.deployments[0].totals, jobs_finished=2)
        await it.publish(replace(before, number=58, deployments=(replace(before.deployments[0], totals=totals),)))
        await it.pilot.pause(0.05)
        assert "fresh" in it.rows("#past")[2]
        assert "61" in it.rows("#past")[0]


async def test_when_the_history_cannot_be_read_the_reason_stands_there(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        it.client.refusal = WanTuiError("history /x/history.sqlite3 cannot be read: database is locked")
        await it.press("6")
        await it.settle()
        assert "database is locked" in it.rows("#past")[0]


# -- plots


async def test_wide_terminals_show_the_plots_beside_the_lists_and_small_ones_in_their_place(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        await opened(it)
        assert "median error" in it.text("#scatter")
        assert "in their interval" in it.text("#scatter")
        assert "estimated" in it.text("#scatter").splitlines()[-1]
        assert "seconds per step" in it.text("#trend")
        assert any("⠐" in line or "⡀" in line or "⠂" in line for line in it.rows("#scatter")), "the diagonal"
    async with drive(snapshots.pocket_running()) as it:
        await opened(it)
        assert "observed, above the diagonal" not in it.screen_text()
        await it.press("t")
        assert "observed, above the diagonal" in it.screen_text()
        assert "seconds per step" in it.screen_text()
        await it.press("t")
        assert "HISTORY" in it.screen_text()


async def test_plots_in_ascii_are_ascii(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48), ascii_only=True) as it:
        await opened(it)
        shown = it.screen_text()
        assert shown.isascii()
        assert "oo" in shown


async def test_an_empty_history_says_so(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        await it.press("6")
        await it.settle()
        assert "nothing has finished yet" in it.text("#past")
        assert "no run with an estimate yet" in it.text("#scatter")


# -- export


async def test_the_history_is_written_to_a_file_and_over_one_only_after_a_question(
    drive: Drive, tmp_path: Path
) -> None:
    target = tmp_path / "runs.csv"
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        await opened(it)
        await it.press("x")
        assert isinstance(it.app.screen, Export)
        it.app.screen._input.value = str(target)
        await it.press("enter")
        await it.pilot.pause(0.1)
        assert target.read_text().startswith("csv run-0\n")
        assert f"export: accepted as {target}" in " ".join(it.text("#status").split())
        target.write_text("mine")
        await it.press("x")
        it.app.screen._input.value = str(target)
        await it.press("enter")
        assert "Write over runs.csv?" in it.screen_text()
        await it.press("n")
        assert target.read_text() == "mine"
        await it.press("enter", "y")
        await it.pilot.pause(0.1)
        assert target.read_text().startswith("csv run-0\n")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "type the name of a file"),
        ("/tmp/history.xlsx", "end the name in .csv or .json"),
        ("/no/such/folder/history.json", "does not exist: create the folder first"),
    ],
)
async def test_a_name_that_cannot_be_written_is_refused_in_the_dialog(drive: Drive, typed: str, said: str) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await opened(it)
        await it.press("x")
        it.app.screen._input.value = typed  # type: ignore[attr-defined]
        await it.press("enter")
        assert isinstance(it.app.screen, Export)
        assert said in " ".join(it.text("#export-about").split())
        await it.press("escape")
        assert isinstance(it.app.screen, JobsScreen)


# -- into the form


async def test_a_job_or_a_past_run_goes_into_the_form_to_be_changed(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(100, 40)) as it:
        await opened(it)
        await it.press("tab", "j", "e")
        assert isinstance(it.app.screen, GenerateScreen)
        assert it.app.screen.query_one("#prompt").text == "a red fox runs through fresh snow, take 1"  # type: ignore[attr-defined]
        assert it.app.screen.query_one("#frames").value == "41"  # type: ignore[attr-defined]


# -- the wire


async def test_nothing_is_sent_when_nothing_changed(drive: Drive) -> None:
    before = snapshots.pocket_running()
    async with drive(before, size=(160, 48)) as it:
        await opened(it)
        await it.settle()
        it.take_sent()
        await it.publish(replace(before, number=58))
        assert it.take_sent() == ""


@pytest.mark.parametrize(("size", "budget"), [((80, 24), 3_000), ((160, 48), 10_000)])
async def test_a_step_of_the_running_job_stays_in_its_budget(drive: Drive, size: tuple[int, int], budget: int) -> None:
    before = snapshots.pocket_running()
    async with drive(before, size=size) as it:
        await opened(it)
        it.take_sent()
        running = replace(before.jobs[1], step=3, progress_ratio=0.75)
        later = replace(before, number=58, taken_at=before.taken_at + 1, jobs=(before.jobs[0], running, before.jobs[2]))
        await it.publish(later)
        assert 0 < len(it.take_sent().encode()) < budget


async def test_after_a_loss_the_history_is_asked_for_again(drive: Drive) -> None:
    before = snapshots.pocket_running()
    async with drive(before, size=(160, 48)) as it:
        it.client.runs = a_week()
        it.client.refusal = WanTuiError("no agent answers")
        await it.press("6")
        assert "no agent answers" in it.rows("#past")[0]
        it.client.refusal = None
        it.clock.now += 6
        await it.publish(replace(before, number=58))
        assert "60" in it.rows("#past")[0]
