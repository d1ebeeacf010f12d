"""Deployments and the page of one: what is shown, what every key does, and how failures are told."""

from dataclasses import replace

import pytest

from tests import snapshots
from tests.snapshot_parts import AT
from tests.ui.conftest import Drive, Driver
from tests.ui.planned import an_hour, profiles
from tests.ui.test_shell import command
from wan_tui.agent.changes import Change, ChangePreview, of_deployment
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.planning.plan import Compatibility, Remedy
from wan_tui.core.planning.questions import Assessment, Question
from wan_tui.core.runtime.state import LogEvent
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import LoadState, Verdict
from wan_tui.ui import glyphs
from wan_tui.ui.screens.change import ChangeDialog
from wan_tui.ui.screens.confirm import Confirm
from wan_tui.ui.screens.deployment import DeploymentPage
from wan_tui.ui.screens.deployments import DeploymentsScreen
from wan_tui.ui.screens.profiles import ChooseProfile

SMALL, USUAL, LARGE = (60, 20), (80, 24), (160, 48)


def incompatible() -> Snapshot:
    return replace(snapshots.incompatible(), profiles=profiles())


def changed(snapshot: Snapshot, name: str, **changes: object) -> Snapshot:
    deployments = tuple(
        replace(d, **changes) if d.name == name else d  # type: ignore[arg-type]
        for d in snapshot.deployments
    )
    return replace(snapshot, number=snapshot.number + 1, deployments=deployments)


def unchanged(change: Change) -> ChangePreview:
    return ChangePreview(file="/home/wan/wan-tui.toml", diff="", base="base-1")


# -- the list


async def test_the_list_says_state_verdict_and_headroom_in_words(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("2")
        rows = {line.split()[0].removeprefix("› "): line for line in it.rows("#deployment-list")[2:]}
        assert "2 of 4 loaded" in it.text("#deployment-list")
        assert "loaded" in rows["photo"]
        assert "tight" in rows["photo"]
        assert "+1.9" in rows["photo"]
        assert "unknown" in rows["archive"]


@pytest.mark.parametrize("size", [SMALL, USUAL, LARGE, (200, 60)])
async def test_at_every_size_name_state_and_verdict_stay_and_no_line_is_too_long(
    drive: Drive, size: tuple[int, int]
) -> None:
    async with drive(incompatible(), size=size) as it:
        await it.press("2")
        assert "cinema" in it.text("#deployment-list")
        assert "incompatible" in it.text("#deployment-list")
        await it.press("k", "enter")
        assert isinstance(it.app.screen, DeploymentPage)
        assert "short of 55.3 GiB" in it.text("#page-left")
        assert all(len(line) <= size[0] for line in it.screen_text().splitlines())


async def test_the_words_survive_a_terminal_without_unicode(drive: Drive) -> None:
    async with drive(incompatible(), size=LARGE, ascii_only=True) as it:
        it.client.timelines["draft"] = an_hour()
        await it.press("2")
        assert it.screen_text().isascii()
        await it.press("enter")
        await it.settle()
        assert it.screen_text().isascii()
        assert "offload required" in it.screen_text()


# -- load, unload, pin, profile, validate


async def test_load_and_unload_the_selected_one(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("2", "j", "j", "l")
        assert it.client.commands == [("load", "draft")]
        await it.press("k", "u")
        assert it.client.commands[-1] == ("unload", "photo")
        await it.press("k", "u")
        assert isinstance(it.app.screen, Confirm), "a job runs there"
        await it.press("n")
        assert it.client.commands[-1] == ("unload", "photo")


async def test_pinning_shows_the_change_first(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("2", "j", "j", "p")
        assert isinstance(it.app.screen, ChangeDialog)
        assert it.client.previewed == [of_deployment("draft", ("wanted_loaded", True))]
        assert "+deployments.draft.wanted_loaded = True" in it.text("#change-rows")
        assert "original is kept" in it.text("#change-rows")
        await it.press("n")
        assert it.client.commands == []
        await it.press("p", "y")
        assert it.client.commands == [("pin", "draft")]
        assert "pin draft: done" in it.text("#status")


async def test_what_the_file_says_already_is_done_without_a_question(drive: Drive) -> None:
    pinned = changed(snapshots.eight_gpus_one_lost(), "draft", pinned=True)
    async with drive(pinned) as it:
        it.client.preview_answer = unchanged
        await it.press("2", "j", "j", "p")
        assert it.client.commands == [("unpin", "draft")]
        assert isinstance(it.app.screen, DeploymentsScreen)


async def test_a_profile_is_chosen_by_its_verdict_and_shown_before_it_is_set(drive: Drive) -> None:
    def answer(question: Question) -> Assessment:
        fits = question.profile == "low-vram"
        return Assessment(
            compatibility=Compatibility(
                verdict=Verdict.OFFLOAD_REQUIRED if fits else Verdict.INCOMPATIBLE,
                reason="because",
                headroom_bytes=(3 if fits else -9) * 2**30,
            ),
            model="t2v-A14B",
            profile=question.profile or "",
            where="gpu:0",
            clip=snapshots.T2V_CLIP,
        )

    async with drive(incompatible(), size=(120, 30)) as it:
        it.client.answer = answer
        await it.press("2", "k", "e")
        assert isinstance(it.app.screen, ChooseProfile)
        rows = {line.split()[0]: line for line in it.rows("#profiles")[1:] if not line.startswith(" ›")}
        assert "offload required" in rows["low-vram"]
        assert "+3.0" in rows["low-vram"]
        assert "incompatible" in rows["auto"]
        assert "resident-bf16 (now)" in it.text("#profiles")
        await it.press("end", "up", "enter")
        assert isinstance(it.app.screen, ChangeDialog)
        assert it.client.previewed == [of_deployment("cinema", ("profile", "low-vram"))]
        await it.press("y")
        assert it.client.applied == it.client.previewed
        assert "wan-tui.toml.bak" in it.text("#status")


async def test_profiles_are_offered_without_verdicts_when_the_planner_fails(drive: Drive) -> None:
    async with drive(incompatible()) as it:
        it.client.refusal = WanTuiError("the planner has a cold")
        await it.press("2", "e")
        assert "the planner has a cold" in it.text("#profiles")
        assert "low-vram" in it.text("#profiles")
        await it.press("escape")
        assert isinstance(it.app.screen, DeploymentsScreen)


async def test_validation_of_one(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("2", "v")
        assert it.client.commands == [("validate", "story")]


# -- failures


async def test_a_refused_preview_and_a_refused_change_are_one_line_each(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        it.client.refusal = UsageError("/home/wan/config.json is of the older form")
        await it.press("2", "p")
        assert "is of the older form" in it.text("#status")
        assert isinstance(it.app.screen, DeploymentsScreen)
        it.client.refusal = None
        await it.press("p")
        it.client.refusal = WanTuiError("wan-tui.toml changed after it was shown: look at the change again")
        await it.press("y")
        assert "changed after it was shown" in it.text("#status")
        assert it.client.commands == []


async def test_without_an_engine_every_key_says_so(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("2")
        it.client.break_stream(WanTuiError("agent gone, reconnecting"))
        await it.settle()
        assert it.app.feed.client is None
        for key in ("p", "v", "l"):
            await it.press(key)
            assert "not connected to the engine" in it.text("#status"), key
        await it.press("e")
        assert "not connected" in it.text("#profiles")


# -- the page


async def test_enter_opens_the_page_and_esc_leaves_it(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=LARGE) as it:
        await it.press("2", "enter")
        assert isinstance(it.app.screen, DeploymentPage)
        assert "Deployments › story" in it.text("#header")
        assert "job-102 1280×720×81 running" in it.text("#page-right")
        assert "job-102 started" in it.text("#page-right")
        await it.press("escape")
        assert isinstance(it.app.screen, DeploymentsScreen)


async def test_estimated_and_observed_seconds_stand_side_by_side(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=LARGE) as it:
        finished = tuple(job for job in snapshots.pocket_running().jobs if job.state.ended)
        idle = replace(changed(snapshots.pocket_running(), "pocket", running_job=None), jobs=finished)
        await it.publish(idle)
        await it.press("2", "enter")
        (total,) = [line for line in it.rows("#page-right") if line.split()[:1] == ["total"]]
        assert "4.4 s" in total
        assert "%" in total


async def test_memory_is_a_chart_with_the_estimate_and_asked_for_every_few_seconds(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=LARGE) as it:
        it.client.timelines["story"] = an_hour()
        await it.press("2", "enter")
        await it.settle()
        chart = it.text("#page-right")
        assert glyphs.HEAVY in chart
        assert "estimated 20.5 GiB" in chart
        assert "-1 h 00 min" in chart
        it.client.timelines["story"] = replace(an_hour(), points=an_hour().points[:900])
        await it.publish(replace(snapshots.eight_gpus_one_lost(AT), number=402, taken_at=AT + 1))
        assert it.text("#page-right") == chart, "not with every snapshot"
        await it.publish(replace(snapshots.eight_gpus_one_lost(AT), number=403, taken_at=AT + 6))
        await it.settle()
        assert it.text("#page-right") != chart


async def test_a_remedy_is_applied_with_one_key_after_its_preview(drive: Drive) -> None:
    async with drive(incompatible()) as it:
        await it.press("2", "k", "enter", "a")
        assert isinstance(it.app.screen, ChangeDialog)
        assert it.client.previewed == [of_deployment("cinema", ("profile", "rtx-4080"))]
        assert "headroom" in it.text("#change-rows")
        await it.press("y")
        assert it.client.applied == it.client.previewed
        assert ("apply", "base-1") in it.client.commands


async def test_enter_on_a_remedy_does_the_same_and_a_remedy_by_hand_says_so(drive: Drive) -> None:
    by_hand = Remedy(title="stop python 77 on gpu:0", changes=(), verdict=Verdict.FITS, headroom_bytes=2**30)
    sizes = Remedy(
        title="640x384 instead of 832x480",
        changes=(("defaults.width", 640), ("defaults.height", 384)),
        verdict=Verdict.FITS,
        headroom_bytes=2**30,
    )
    snapshot = incompatible()
    cinema = snapshot.deployments[0]
    fitting = replace(cinema.compatibility, remedies=(by_hand, sizes))
    async with drive(changed(snapshot, "cinema", compatibility=fitting)) as it:
        await it.press("2", "k", "enter")
        while not (it.app.screen.query_one("#page-left").cursor or "").startswith("remedy"):  # type: ignore[attr-defined]
            await it.press("j")
        await it.press("enter")
        assert "done on the host" in it.text("#status")
        assert it.client.previewed == []
        await it.press("j", "enter")
        assert it.client.previewed == [of_deployment("cinema", *sizes.changes)]


async def test_the_page_of_a_deployment_that_was_removed_says_so(drive: Drive) -> None:
    snapshot = incompatible()
    async with drive(snapshot) as it:
        await it.press("2", "k", "enter")
        await it.publish(replace(snapshot, number=999, deployments=snapshot.deployments[1:]))
        assert "no longer configured" in it.text("#page-left")
        await it.press("l", "a", "p")
        assert it.client.commands == []


async def test_the_log_is_that_of_the_deployment_alone(drive: Drive) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    events = (LogEvent(AT - 2, "error", "story", "it broke"), LogEvent(AT - 1, "info", "photo", "it loads"))
    async with drive(replace(snapshot, log=replace(snapshot.log, events=events)), size=LARGE) as it:
        await it.press("2", "enter")
        assert "it broke" in it.text("#page-right")
        assert "it loads" not in it.text("#page-right")


async def test_a_loaded_page_follows_the_snapshots(drive: Drive) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    async with drive(snapshot) as it:
        await it.press("2", "j", "j", "enter")
        assert "unloaded" in it.text("#page-left")
        await it.publish(changed(snapshot, "draft", state=LoadState.LOADING, load_progress_ratio=0.4))
        assert "loading 40 %" in it.text("#page-left")


# -- commands


async def type_and_apply(it: Driver, line: str) -> None:
    await command(it, line)
    assert isinstance(it.app.screen, ChangeDialog), it.text("#status")
    await it.press("y")


async def test_the_same_by_command(drive: Drive) -> None:
    async with drive(incompatible()) as it:
        await type_and_apply(it, ":pin draft")
        await type_and_apply(it, ":unpin draft")
        await type_and_apply(it, ":profile draft low-vram")
        await type_and_apply(it, ":set deployments.draft.defaults.frames 49")
        await type_and_apply(it, ":set limits.max_vram_gib")
        await command(it, ":reload")
        await command(it, ":validate draft")
        assert [name for name, _ in it.client.commands] == [
            "pin",
            "unpin",
            "apply",
            "apply",
            "apply",
            "reload",
            "validate",
        ]
        assert [change.settings[0].value for change in it.client.applied] == ["low-vram", 49, None]


async def test_commands_name_what_is_wrong(drive: Drive) -> None:
    async with drive(incompatible()) as it:
        for line, reason in (
            (":pin cinma", "did you mean cinema?"),
            (":profile draft lowvram", "did you mean low-vram?"),
            (":set .x 1", "a key by its path"),
            (":rule WAN9", "unknown rule"),
        ):
            await command(it, line)
            assert reason in it.text("#status"), line
        assert it.client.previewed == []


async def test_a_rule_can_be_looked_up(drive: Drive) -> None:
    async with drive(incompatible()) as it:
        await command(it, ":rule wan001")
        assert "RULE WAN001" in it.text("#rule-page")
        assert "needs 70.9 GiB" in it.text("#rule-page"), "what it found here"
        await it.press("escape")
        assert it.app.current_mode == "overview"
