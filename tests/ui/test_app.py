"""The terminal UI as its operator meets it, on a client without an engine."""

from dataclasses import replace

from textual.binding import Binding
from textual.widgets import Input, TextArea

from tests import snapshots
from tests.snapshot_parts import AT
from tests.ui.conftest import Drive, Driver
from wan_tui.core.alerts.watch import AlertWatch
from wan_tui.core.errors import UsageError
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import LoadState
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.screens.confirm import Confirm
from wan_tui.ui.screens.generate import GenerateScreen
from wan_tui.ui.screens.help import Help, key_name
from wan_tui.ui.screens.log import LogScreen
from wan_tui.ui.screens.overview import OverviewScreen
from wan_tui.ui.widgets.choice import Choice
from wan_tui.ui.widgets.preview import PreviewView
from wan_tui.ui.widgets.rows import SelectableRows


def idle_pocket() -> Snapshot:
    """A fresh host: the pocket deployment is there and nothing ever ran."""
    snapshot = snapshots.pocket_running()
    deployment = replace(
        snapshot.deployments[0],
        state=LoadState.UNLOADED,
        running_job=None,
        worker=None,
        last_estimated_seconds=None,
        last_generation_seconds=None,
    )
    return replace(snapshot, deployments=(deployment,), jobs=())


# -- overview


async def test_all_gpus_are_listed_and_the_lost_one_keeps_its_row(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        rows = it.rows("#devices")
        assert len(rows) == 2 + 8 + 1, "the host is a device too"
        assert rows[8].split()[0] == "6"
        assert "lost" in rows[8]
        assert "fallen off the bus" in rows[8]
        assert "driver 570.86.15" in rows[0]


async def test_alerts_that_fire_stand_first_and_are_counted_in_the_head(drive: Drive) -> None:
    snapshot, watch = snapshots.eight_gpus_one_lost(), AlertWatch()
    watch.look(replace(snapshot, taken_at=AT - 3600))
    async with drive(replace(snapshot, alerts=watch.look(snapshot)), size=(160, 48)) as it:
        assert "! critical  gpu:6     A GPU is lost or does not answer" in it.text("#alerts")
        assert "15:00:00" in it.text("#alerts"), "since when"
        assert "! 5 alerts" in it.text("#header")
        await it.publish(replace(snapshot, number=90211))
        assert not it.app.screen.query_one("#alerts").display
        assert "alert" not in it.text("#header")


async def test_the_memory_bar_tells_ours_from_others_and_the_driver(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(160, 48)) as it:
        rows = it.rows("#devices")
        assert "━" in rows[2]
        assert "═" not in rows[2].split("GiB")[0]
        assert "═" in rows[3], "3 GiB of somebody else's python"
        assert "╌" in rows[4], "the driver's reserve"


async def test_the_course_of_utilization_grows_with_the_snapshots(drive: Drive) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    async with drive(snapshot, size=(160, 48)) as it:
        for step in range(1, 4):
            gpus = tuple(
                replace(gpu, sampled_at=gpu.sampled_at + 5 * step, utilization_ratio=step / 4) for gpu in snapshot.gpus
            )
            await it.publish(replace(snapshot, number=90210 + step, gpus=gpus))
        assert "▁▂▄  75 %" in it.rows("#devices")[4]


async def test_without_a_driver_the_host_is_the_device(drive: Drive) -> None:
    async with drive(snapshots.empty_host()) as it:
        assert "no NVIDIA driver" in it.text("#devices")
        assert "AMD EPYC 9654" in it.text("#devices")
        assert "8.0 /  32.0" in it.text("#devices")


async def test_a_deployment_shows_state_verdict_and_when_selected_the_reason(drive: Drive) -> None:
    async with drive(snapshots.incompatible()) as it:
        assert "failed" in it.text("#deployments")
        assert "incompatible" in it.text("#deployments")
        assert "fits with model offload" in it.text("#deployments"), "the cursor starts on what can run"
        await it.press("k")
        assert "needs 70.9 GiB at the peak" in it.text("#deployments")
        assert "fix     choose the profile rtx-4080" in it.text("#deployments")
        assert "fits with model offload" not in it.text("#deployments")


async def test_a_wide_terminal_shows_the_plan_and_the_jobs_beside_it(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(160, 48)) as it:
        assert "gpu:0 · bf16 · everything resident" in it.text("#detail")
        assert "job-101" in it.text("#recent")
        assert "8 GPUs (1 lost)" in it.text("#header")


async def test_what_would_make_it_fit_stands_below_the_reason(drive: Drive) -> None:
    async with drive(snapshots.incompatible(), size=(160, 48)) as it:
        await it.press("k")
        assert "remedies  profile rtx-4080: peak 9.6 GiB on gpu:0 with group block offload" in it.text("#detail")


async def test_a_running_job_shows_step_time_per_step_and_time_left(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        panel = it.text("#job")
        assert "step 2/4" in panel
        assert "0.60 s per step" in panel
        assert "2.0 s left" in panel


async def test_the_first_step_is_one_highlighted_line(drive: Drive) -> None:
    async with drive(idle_pocket()) as it:
        assert 'press  g  and type "a red circle moving right"' in it.text("#job")


async def test_nothing_is_cut_off_at_the_bottom_of_a_small_terminal(drive: Drive) -> None:
    for size in ((80, 24), (60, 20)):
        async with drive(snapshots.eight_gpus_one_lost(), size=size) as it:
            shown = it.screen_text()
            assert "step 14/40" in shown
            assert "archive" in shown
            assert "q quit" in shown


async def test_a_newcomer_sees_where_they_are_what_fits_and_one_next_step(drive: Drive) -> None:
    snapshot = idle_pocket()
    none = replace(snapshot.config, exists=False, file="/home/op/.config/wan-tui/wan-tui.toml")
    async with drive(replace(snapshot, config=none)) as it:
        panel = it.text("#job")
        assert "render-01, no GPU: models run on the processors here" in panel
        assert "fits    pocket" in panel
        assert "press  g  and type" in panel
        assert "press  W  to write /home/op/.config/wan-tui/wan-tui.toml" in panel
        await it.press("W")
        assert "Write a configuration file?" in it.screen_text()
        await it.press("n")
        assert it.client.commands == []
        await it.press("W", "y")
        assert it.client.commands == [("init", "")]
        assert "accepted as /home/op/.config/wan-tui/wan-tui.toml" in it.text("#status")
        await it.publish(replace(snapshot, number=58))
        assert "press  W " not in it.text("#job")


# -- commands


async def test_load_and_unload_reach_the_client_and_are_acknowledged(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("j", "j", "l")
        assert it.client.commands == [("load", "draft")]
        assert it.text("#status") == " ✓ load draft: accepted"
        await it.press("u")
        assert it.client.commands[-1] == ("unload", "draft")


async def test_unload_under_a_running_job_asks_and_no_is_the_default(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("u")
        assert isinstance(it.app.screen, Confirm)
        assert "Unload story while" in it.screen_text()
        await it.press("enter")
        assert it.client.commands == []
        await it.press("u", "y")
        assert it.client.commands == [("unload", "story")]


async def test_cancel_asks_by_name_and_then_cancels(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await it.press("c")
        assert "Cancel job-2?" in it.screen_text()
        await it.press("escape")
        assert it.client.commands == []
        await it.press("c", "y")
        assert it.client.commands == [("cancel", "job-2")]


async def test_a_refusal_is_one_line(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        it.client.refusal = UsageError("pocket is\nalready loaded")
        await it.press("l")
        assert it.rows("#status") == [" ✗ load pocket: pocket is already loaded"]


async def test_a_long_refusal_is_shown_whole(drive: Drive) -> None:
    reason = "ti2v-5B cannot be loaded: it needs 61.7 GiB of host memory in fp32, this host has 23.5 GiB; " * 2
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        it.client.refusal = UsageError(reason)
        await it.press("l")
        assert " ".join(it.text("#status").split()).endswith(reason.strip())


async def test_an_unexpected_error_of_a_command_is_one_line_too(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        it.client.refusal = RuntimeError("boom")
        await it.press("l")
        assert it.rows("#status") == [" ✗ load pocket: RuntimeError: boom"]
        assert it.app.is_running


# -- the form


async def fill(it: Driver, **values: str) -> None:
    for name, value in values.items():
        if name == "prompt":
            it.app.screen.query_one("#prompt", TextArea).text = value
        else:
            it.app.screen.query_one(f"#{name}", Input).value = value
    await it.settle()


async def test_the_form_starts_with_the_models_defaults(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(100, 40)) as it:
        await it.press("g")
        values = {name: it.app.screen.query_one(f"#{name}", Input).value for name in ("width", "frames", "steps")}
        assert values == {"width": "64", "frames": "9", "steps": "4"}
        assert "last run estimated 4.0 s, took 4.4 s" in it.text("#answer")


async def test_what_is_typed_is_what_is_sent(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await it.press("g", *"a red fox")
        await fill(it, negative="blurry", width="96", height="80", frames="13", steps="7", seed="5", guidance="3.5")
        await it.press("enter")
        (request,) = it.client.requests
        assert (request.deployment, request.prompt, request.negative_prompt) == ("pocket", "a red fox", "blurry")
        assert (request.width, request.height, request.frames, request.steps) == (96, 80, 13, 7)
        assert (request.seed, request.guidance) == (5, 3.5)
        assert "accepted as job-101" in it.text("#status")


async def test_letters_in_a_field_are_text_not_commands(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await it.press("g", *"luckgq123")
        assert it.app.screen.query_one("#prompt", TextArea).text == "luckgq123"
        assert it.client.commands == []


async def test_a_bad_value_is_said_under_the_form_and_nothing_is_sent(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await it.press("g")
        await fill(it, prompt="a fox", steps="many")
        await it.press("enter")
        assert "steps: 'many' is not a whole number" in it.text("#answer")
        assert it.app.screen.query_one("#steps").has_class("-wrong")
        assert it.app.focused is it.app.screen.query_one("#steps")
        assert it.client.requests == []
        await fill(it, steps="4")
        await it.press("enter")
        assert not it.app.screen.query_one("#steps").has_class("-wrong")
        assert len(it.client.requests) == 1


async def test_snapshots_never_overwrite_what_is_typed(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await it.press("g")
        await fill(it, prompt="half a thou", steps="99")
        await it.publish(replace(snapshots.pocket_running(AT + 1), number=58))
        assert it.app.screen.query_one("#prompt", TextArea).text == "half a thou"
        assert it.app.screen.query_one("#steps", Input).value == "99"


async def test_another_deployment_brings_its_own_defaults(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("g")
        it.app.screen.query_one(Choice).focus()
        await it.press("right", "right")
        assert it.app.screen.query_one(Choice).value == "draft"
        assert it.app.screen.query_one("#width", Input).value == "1280"


async def test_g_brings_the_selected_deployment_once(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("j", "g")
        choice = it.app.screen.query_one(Choice)
        assert choice.value == "photo"
        choice.choose("draft")
        await it.press("escape", "escape", "g")
        assert choice.value == "draft", "what was chosen in the form afterwards stays"


async def test_the_job_just_started_is_the_one_in_view(drive: Drive) -> None:
    before = snapshots.pocket_running()
    async with drive(before) as it:
        await it.press("g")
        await fill(it, prompt="a blue ball")
        await it.press("enter")
        started = replace(before.jobs[2], id="job-101", submitted_at=AT + 1)
        await it.publish(replace(before, number=58, jobs=(*before.jobs, started)))
        assert "JOB job-101" in it.text("#job")


async def test_the_preview_has_the_colours_of_the_frame(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        await it.press("g")
        view = it.app.screen.query_one("#preview", PreviewView)
        cells = [segment for segment in view.render_line(0) if segment.text == "▀"]
        first, last = cells[0].style, cells[-1].style
        assert first is not None
        assert last is not None
        assert first.color is not None
        assert last.color is not None
        assert first.color.get_truecolor() == (0, 0, 96)
        assert last.color.get_truecolor() == (255, 0, 96)


# -- moving about


async def test_number_keys_choose_the_screen_and_esc_goes_back_but_never_quits(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await it.press("8")
        assert isinstance(it.app.screen, LogScreen)
        assert "loaded in 6.5 s" in it.text("#log")
        await it.press("escape")
        assert isinstance(it.app.screen, OverviewScreen)
        await it.press("escape", "escape")
        assert it.app.is_running
        await it.press("g")
        assert isinstance(it.app.screen, GenerateScreen)
        await it.press("escape")
        assert isinstance(it.app.screen, GenerateScreen), "the first esc leaves the field"
        await it.press("escape")
        assert isinstance(it.app.screen, OverviewScreen)


async def test_the_form_and_the_selection_survive_every_resize(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("j", "j", "g")
        await fill(it, prompt="a lighthouse", steps="17")
        for width, height in ((60, 20), (160, 48), (80, 24)):
            await it.pilot.resize_terminal(width, height)
            await it.settle()
            assert it.app.screen.query_one("#prompt", TextArea).text == "a lighthouse"
            assert it.app.screen.query_one("#steps", Input).value == "17"
        await it.pilot.resize_terminal(160, 48)
        await it.press("escape", "escape")
        assert it.app.screen.query_one("#deployments", SelectableRows).cursor == "draft"
        assert it.app.screen.query_one("#detail").display, "the other screens learn the new size too"


async def test_the_cursor_stays_on_its_deployment_when_rows_change(drive: Drive) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    async with drive(snapshot) as it:
        await it.press("j", "j")
        await it.publish(replace(snapshot, number=90211, deployments=snapshot.deployments[1:]))
        assert it.app.screen.query_one("#deployments", SelectableRows).cursor == "draft"


async def test_help_lists_every_binding_of_the_screen_and_of_the_app(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(100, 90)) as it:
        for key, screen in (("1", OverviewScreen), ("g", GenerateScreen), ("8", LogScreen)):
            await it.press(key, *(("escape",) if key == "g" else ()), "question_mark")
            assert isinstance(it.app.screen, Help)
            shown = it.text("#help-rows")
            for owner in (screen, BaseScreen, type(it.app), SelectableRows, *screen.widgets_with_keys, Confirm, Help):
                for binding in owner.BINDINGS:
                    assert isinstance(binding, Binding)
                    assert ", ".join(key_name(key) for key in binding.key.split(",")) in shown
                    assert binding.tooltip
            await it.press("escape")


# -- leaving


async def test_q_quits_and_closes_the_client(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await it.press("q")
        assert not it.app.is_running
    assert it.client.closed == 1


async def test_ctrl_q_quits_from_a_field(drive: Drive) -> None:
    async with drive(idle_pocket(), embedded=True) as it:
        await it.press("g", "ctrl+q")
        assert not it.app.is_running


async def test_an_embedded_engine_with_a_running_job_asks_before_quitting(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), embedded=True) as it:
        await it.press("q")
        assert "Quit with job-2, job-3 unfinished?" in it.screen_text()
        await it.press("n")
        assert it.app.is_running
        await it.press("ctrl+q", "y")
        assert not it.app.is_running


# -- when the engine is lost


async def test_a_lost_engine_is_a_banner_with_the_age_of_the_data_and_then_gone(drive: Drive) -> None:
    snapshot = snapshots.pocket_running()
    async with drive(snapshot, size=(100, 24)) as it:
        it.client.break_stream(ConnectionError("the socket is closed"))
        await it.settle()
        it.clock.now += 12
        it.app._tick()
        await it.settle()
        banner = it.text("#banner")
        assert "data is 12 s old" in banner
        assert "ConnectionError: the socket is closed" in banner
        assert "step 2/4" in it.text("#job"), "the last data stays in view"
        it.client.mend()
        await it.press("r")
        await it.publish(replace(snapshot, number=58, taken_at=it.clock.now))
        assert not it.app.screen.query_one("#banner").display
        assert it.client.closed == 1


async def test_an_engine_that_never_comes_up_is_a_banner_too(drive: Drive) -> None:
    async with drive(None) as it:
        assert "starting" in it.text("#header")
        it.client.break_stream(UsageError("no such state directory"))
        await it.settle()
        assert "no data yet: no such state directory" in it.text("#banner")
        await it.press("l")
        assert it.client.commands == []


async def test_old_data_is_said_to_be_old(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        it.clock.now += 90
        it.app._tick()
        await it.settle()
        assert "01:30 old" in it.text("#header")
