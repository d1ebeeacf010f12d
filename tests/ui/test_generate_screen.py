"""The form: its live estimate, what it refuses, its picture, and what else a request can say."""

from dataclasses import replace

import pytest
from textual.widgets import Input, TextArea

from tests import snapshots
from tests.ui.assessments import fits, fits_up_to_21_frames
from tests.ui.conftest import Drive, Driver
from tests.ui.test_jobs_screen import out_of_memory
from tests.ui.test_player import a_reel
from wan_tui.core.errors import WanTuiError
from wan_tui.core.folder import Entry, Folder
from wan_tui.core.words import LoadState
from wan_tui.ui.screens import generate, picker
from wan_tui.ui.screens.generate import GenerateScreen
from wan_tui.ui.screens.job_detail import JobDetail
from wan_tui.ui.screens.picker import Picker
from wan_tui.ui.screens.player import Player
from wan_tui.ui.widgets.choice import Choice
from wan_tui.ui.widgets.preview import PreviewView


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "_TYPING_SECONDS", 0.001)
    monkeypatch.setattr(picker, "_DEBOUNCE_SECONDS", 0.001)


async def opened(it: Driver, prompt: str = "a fox") -> None:
    await it.press("5")
    it.app.screen.query_one("#prompt", TextArea).text = prompt
    await it.settle()


async def typed(it: Driver, **values: str) -> None:
    for name, value in values.items():
        it.app.screen.query_one(f"#{name}", Input).value = value
    await it.pilot.pause(0.02)
    await it.settle()


def value_of(it: Driver, name: str) -> str:
    return it.app.screen.query_one(f"#{name}", Input).value


# -- the live estimate


async def test_the_estimate_follows_what_is_typed(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        it.client.answer = fits
        await opened(it)
        assert "peak 70.9 GiB of 78.9 GiB free" in it.text("#answer")
        assert "about 04:44" in it.text("#answer")
        await typed(it, frames="41")
        assert it.client.questions[-1].frames == 41
        assert "about 02:24" in it.text("#answer")


async def test_every_letter_does_not_ask_but_the_last_one_does(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "_TYPING_SECONDS", 0.2)
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await opened(it)
        before = len(it.client.questions)
        steps = it.app.screen.query_one("#steps", Input)
        for text in ("1", "12", "123", "12"):
            steps.value = text
        await it.pilot.pause(0.5)
        assert [question.steps for question in it.client.questions[before:]] == [12]


async def test_what_is_no_number_is_not_asked_and_the_old_answer_goes(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        it.client.answer = fits
        await opened(it)
        asked = len(it.client.questions)
        await typed(it, frames="many")
        assert len(it.client.questions) == asked
        assert "about" not in it.text("#answer")


async def test_it_is_asked_again_when_the_deployment_changes_but_not_with_every_snapshot(drive: Drive) -> None:
    before = snapshots.eight_gpus_one_lost()
    async with drive(before) as it:
        await opened(it)
        asked = len(it.client.questions)
        await it.publish(replace(before, number=90211))
        assert len(it.client.questions) == asked
        unloaded = replace(before.deployments[0], state=LoadState.UNLOADED)
        await it.publish(replace(before, number=90212, deployments=(unloaded, *before.deployments[1:])))
        assert len(it.client.questions) == asked + 1


async def test_what_cannot_fit_is_not_queued_and_one_key_makes_it_fit(drive: Drive) -> None:
    async with drive(snapshots.incompatible(), size=(100, 30)) as it:
        it.client.answer = fits_up_to_21_frames
        await opened(it)
        assert "✗ incompatible: needs 70.9 GiB" in it.text("#answer")
        assert "ctrl+g does it" in it.text("#answer")
        await it.press("enter")
        assert it.client.requests == []
        status = " ".join(it.text("#status").split())
        assert "short by 55.3 GiB; fix: 21 frames" in status
        await it.press("ctrl+g")
        await it.pilot.pause(0.02)
        assert value_of(it, "frames") == "21"
        assert "fits" in it.text("#answer")
        await it.press("enter")
        assert it.client.requests[0].frames == 21


async def test_an_estimate_that_cannot_be_had_says_why_and_stops_nobody(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        it.client.refusal = WanTuiError("no agent answers at /run/wan.sock: Connection refused")
        await opened(it)
        assert "no estimate: no agent answers" in " ".join(it.text("#answer").split())
        it.client.refusal = None
        await it.press("enter")
        assert len(it.client.requests) == 1


async def test_rounding_is_said_before_anything_is_sent(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(160, 48)) as it:
        it.client.answer = fits
        await opened(it)
        await typed(it, frames="80")
        assert "note: frames 80 rounded to 81" in it.text("#answer")


# -- what else a request can say


async def test_the_rest_of_a_request_is_behind_one_key(drive: Drive) -> None:
    for size in ((80, 24), (60, 20)):
        async with drive(snapshots.pocket_running(), size=size) as it:
            await opened(it)
            assert not it.app.screen.query_one("#output").region.height
            await it.press("ctrl+o")
            assert it.app.focused is it.app.screen.query_one("#output")
            await typed(it, output="/tmp/fox.mp4", priority="-5", retries="2", timeout="90.5")
            it.app.screen.query_one("#requeue", Choice).choose("no")
            shown = it.screen_text()
            assert "priority" in shown
            assert "timeout s" in shown
            assert "restart" in shown
            it.app.screen.query_one("#output").focus()
            await it.press("enter")
            (request,) = it.client.requests
            assert (request.output, request.priority, request.retries) == ("/tmp/fox.mp4", -5, 2)
            assert (request.timeout_seconds, request.requeue) == (90.5, False)


async def test_a_wrong_value_behind_the_key_is_shown_and_gets_the_cursor(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await opened(it)
        await typed(it, timeout="soon")
        await it.press("enter")
        assert "timeout: 'soon' is not a number of seconds" in " ".join(it.text("#answer").split())
        assert it.app.focused is it.app.screen.query_one("#timeout")
        assert it.app.screen.query_one("#timeout").region.height == 1
        assert it.client.requests == []


# -- the picture


async def test_a_picture_is_asked_for_only_where_the_model_takes_one(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await opened(it)
        assert not it.app.screen.query_one("#image").region.height, "story is text to video"
        await typed(it, image="/left/over.png")
        await it.press("enter")
        assert it.client.requests[-1].image is None
        it.app.screen.query_one("#deployment", Choice).choose("photo")
        await it.settle()
        assert it.app.screen.query_one("#image").region.height == 1
        assert it.client.questions[-1].image
        await it.press("enter")
        assert it.client.requests[-1].image == "/left/over.png"


async def test_a_picture_is_chosen_from_the_folders_of_the_engines_host(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(100, 30)) as it:
        it.client.folders = {
            "/home/wan": Folder(path="/home/wan", entries=(Entry("foxes", None), Entry("start.png", 2048))),
            "/home/wan/foxes": Folder(path="/home/wan/foxes", entries=(Entry("red.png", 100), Entry("rest.png", 100))),
        }
        it.client.reels["/home/wan/foxes/red.png"] = a_reel(1, path="/home/wan/foxes/red.png")
        await opened(it)
        it.app.screen.query_one("#deployment", Choice).choose("photo")
        await it.press("ctrl+t")
        assert isinstance(it.app.screen, Picker)
        assert value_of(it, "picker-path") == "/home/wan/"
        assert "foxes/" in it.text("#picker-list")
        assert "2.0 KiB" in it.text("#picker-list")
        await it.press("f", "tab")
        assert value_of(it, "picker-path") == "/home/wan/foxes/"
        await it.press("r", "tab")
        assert value_of(it, "picker-path") == "/home/wan/foxes/re", "as far as the names agree"
        await it.press("down", "j")
        await it.pilot.pause(0.05)
        assert it.app.screen.query_one("#picker-picture", PreviewView).has_picture
        assert "96×64" in it.text("#picker-about")
        await it.press("enter")
        assert isinstance(it.app.screen, GenerateScreen)
        assert value_of(it, "image") == "/home/wan/foxes/red.png"


async def test_the_picker_goes_up_shows_what_is_wrong_and_can_be_left(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(100, 30)) as it:
        it.client.folders = {
            "/home": Folder(path="/home", entries=(Entry("wan", None),)),
            "/home/wan": Folder(path="/home/wan", entries=(Entry("broken.png", 3),)),
        }
        await opened(it)
        it.app.screen.query_one("#deployment", Choice).choose("photo")
        await typed(it, image="/home/wan/")
        await it.press("ctrl+t", "down", "j")
        await it.pilot.pause(0.05)
        assert "✗ /home/wan/broken.png: no such file" in " ".join(it.text("#picker-about").split())
        await it.press("k", "enter")
        assert value_of(it, "picker-path") == "/home/"
        await it.press("tab")
        await typed(it, **{"picker-path": "/nowhere/x"})
        assert "folder /nowhere: No such file" in it.text("#picker-list")
        await it.press("escape")
        assert value_of(it, "image") == "/home/wan/"


async def test_a_slow_link_has_no_preview(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await opened(it)
        assert it.app.screen.query_one("#preview", PreviewView).has_picture
        it.app.choose_refresh(1.0, slow=True)
        await it.settle()
        assert not it.app.screen.query_one("#preview", PreviewView).has_picture
        assert "off: slow link" in it.text("#preview-title")


# -- the jobs below


async def test_a_job_below_the_form_is_opened_played_copied_and_taken_into_the_form(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        it.client.reels["/var/lib/wan/outputs/job-1.mp4"] = a_reel(9)
        await opened(it, prompt="half a thought")
        await it.press("escape", "j", "j", "v")
        assert isinstance(it.app.screen, Player)
        await it.press("escape", "y")
        assert it.app.clipboard == "/var/lib/wan/outputs/job-1.mp4"
        await it.press("enter")
        assert isinstance(it.app.screen, JobDetail)
        await it.press("escape")
        assert isinstance(it.app.screen, GenerateScreen)
        await it.press("e")
        assert it.app.screen.query_one("#prompt", TextArea).text == "a green triangle moving left"
        assert value_of(it, "frames") == "17"


async def test_a_job_of_a_deployment_that_is_gone_is_taken_without_it(drive: Drive) -> None:
    before = snapshots.pocket_running()
    gone = replace(before.jobs[0], request=replace(before.jobs[0].request, deployment="old"))
    async with drive(replace(before, jobs=(gone,)), size=(100, 24)) as it:
        await opened(it)
        await it.press("escape", "e")
        assert "old is no longer configured" in it.text("#status")
        assert it.app.screen.query_one("#deployment", Choice).value == "pocket"


# -- when something goes wrong


async def test_a_lost_agent_is_one_line_and_the_estimate_comes_back_with_it(drive: Drive) -> None:
    before = snapshots.eight_gpus_one_lost()
    async with drive(before, size=(120, 30)) as it:
        it.client.answer = fits
        it.client.refusal = WanTuiError("no agent answers at /run/wan.sock: Connection refused")
        await opened(it)
        await it.press("enter")
        assert "✗ generate with story: no agent answers" in " ".join(it.text("#status").split())
        assert it.app.screen.query_one("#prompt", TextArea).text == "a fox", "what was typed is still there"
        it.client.refusal = None
        it.clock.now += 6
        await it.publish(replace(before, number=90211))
        assert "about 04:44" in it.text("#answer")


async def test_a_job_that_ran_out_of_memory_says_so_under_the_form(drive: Drive) -> None:
    async with drive(out_of_memory(), size=(100, 34)) as it:
        await opened(it)
        await it.press("escape", "j", "j")
        shown = " ".join(it.text("#job").split())
        assert "out of memory: CUDA out of memory: tried to allocate 2.10 GiB" in shown
        assert "✗ failed" in shown


async def test_a_job_is_cancelled_from_below_the_form(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await opened(it)
        await it.press("escape", "c", "y")
        assert it.client.commands[-1] == ("cancel", "job-2")


async def test_the_first_letter_takes_the_complaint_about_an_empty_prompt_away(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await opened(it, prompt="")
        await it.press("enter")
        assert "prompt: say what to generate" in it.text("#answer")
        await it.press("a")
        assert "say what" not in it.text("#answer")


@pytest.mark.parametrize(("size", "budget"), [((80, 24), 3_000), ((160, 48), 10_000)])
async def test_a_step_of_the_running_job_stays_in_its_budget(drive: Drive, size: tuple[int, int], budget: int) -> None:
    before = snapshots.eight_gpus_one_lost()
    async with drive(before, size=size) as it:
        await opened(it)
        it.take_sent()
        jobs = tuple(replace(job, step=15, progress_ratio=0.39) if job.preview else job for job in before.jobs)
        await it.publish(replace(before, number=90211, taken_at=before.taken_at + 1, jobs=jobs))
        assert 0 < len(it.take_sent().encode()) < budget
