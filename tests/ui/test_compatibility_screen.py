"""What fits where: the matrix, sliders that plan anew, the cell in full; on answers of the real planner."""

from dataclasses import replace

import pytest

from tests import snapshots
from tests.ui.conftest import Drive, Driver
from tests.ui.planned import PlannedClient, planned_client, profiles
from wan_tui.agent.changes import Setting
from wan_tui.core.catalog.gpus import search_gpu
from wan_tui.core.errors import WanTuiError
from wan_tui.ui.cards import cards, usual
from wan_tui.ui.screens.compatibility import SETTLE_SECONDS
from wan_tui.ui.widgets.slider import Slider


def few(client: PlannedClient) -> PlannedClient:
    """One model and two profiles are enough, and quick."""
    snapshot = client._snapshot
    assert snapshot is not None
    models = tuple(model for model in snapshot.models if model.id.endswith("ti2v-5B"))
    chosen = tuple(profile for profile in profiles() if profile.name in ("auto", "resident-bf16"))
    client.publish(replace(snapshot, models=models, profiles=chosen))
    return client


async def planned(it: Driver) -> None:
    """Until everything that is shown has an answer."""
    for _ in range(100):
        await it.pilot.pause(0.05)
        if "··" not in it.text("#matrix") and "to go" not in it.text("#matrix"):
            await it.settle()
            return
    raise AssertionError(it.text("#matrix"))


def row(it: Driver, profile: str) -> str:
    return next(line for line in it.rows("#matrix")[2:] if profile in line.split())


async def test_every_profile_has_a_verdict_and_headroom_here_and_on_a_card(drive: Drive) -> None:
    client, _ = planned_client()
    async with drive(None, client=few(client)) as it:
        await it.press("3")
        await planned(it)
        assert "offload" in row(it, "auto")
        assert "no" in row(it, "resident-bf16").split()
        assert "here" in it.text("#matrix")
        assert "RTX 4090" in it.text("#matrix")
        asked = {(question.profile, question.gpu is None) for question in it.client.questions}
        assert asked == {(name, here) for name in ("auto", "resident-bf16") for here in (True, False)}


async def test_the_cell_in_full_has_phases_time_and_what_would_help(drive: Drive) -> None:
    client, _ = planned_client()
    async with drive(None, client=few(client), size=(160, 48)) as it:
        await it.press("3", "down")
        await planned(it)
        await it.pilot.pause(SETTLE_SECONDS + 0.2)
        shown = it.text("#cell-answer")
        assert "RESIDENT-BF16 ON HERE" in shown
        assert "incompatible" in shown or "tight" in shown
        for word in ("denoise", "vae decode", "weights", "activations", "free ", "about ", "modelled"):
            assert word in shown, word
        assert "profile" in shown, "a remedy"
        assert it.client.questions[-1].remedies


async def test_a_slider_plans_anew_once_it_rests(drive: Drive) -> None:
    client, _ = planned_client()
    async with drive(None, client=few(client)) as it:
        await it.press("3")
        await planned(it)
        before = row(it, "auto")
        count = len(it.client.questions)
        await it.press("s", "tab")
        frames = it.app.screen.query_one("#frames", Slider)
        assert it.app.focused is frames
        for _ in range(7):  # as a key that is held down
            frames.action_turn(1)
        await it.press("right")
        await it.pilot.pause(SETTLE_SECONDS)
        await planned(it)
        assert {question.frames for question in it.client.questions[count:]} <= {29, 33}, "not for every value"
        assert it.client.questions[-1].frames == 33
        assert row(it, "auto") != before
        await it.press("escape")
        assert it.app.focused is it.app.screen.query_one("#matrix")


async def test_sizes_and_steps_go_into_the_question(drive: Drive) -> None:
    client, _ = planned_client()
    async with drive(None, client=few(client)) as it:
        await it.press("3")
        await planned(it)
        count = len(it.client.questions)
        await it.press("s", "right", "right", "tab", "tab", "right")
        await it.pilot.pause(SETTLE_SECONDS)
        await planned(it)
        last = it.client.questions[-1]
        assert len(it.client.questions) > count
        assert (last.width, last.height, last.steps) == (512, 288, 1)


async def test_any_card_of_the_table_can_be_the_column(drive: Drive) -> None:
    client, _ = planned_client()
    async with drive(None, client=few(client)) as it:
        await it.press("3")
        await planned(it)
        card = it.app.screen.query_one("#card", Slider)
        card.focus()
        await it.press("end")
        chosen = card.value
        assert chosen is not None
        await it.pilot.pause(SETTLE_SECONDS)
        await planned(it)
        assert it.client.questions[-1].gpu == cards()[chosen] or it.client.questions[-2].gpu == cards()[chosen]
        assert "MI300X" in it.text("#matrix")


async def test_the_column_moves_and_what_is_out_of_view_is_planned_when_it_comes(drive: Drive) -> None:
    client, _ = planned_client()
    async with drive(None, client=few(client), size=(60, 20)) as it:
        await it.press("3")
        await planned(it)
        assert {question.gpu for question in it.client.questions} == {None}, "one column has room"
        await it.press("right")
        await it.pilot.pause(SETTLE_SECONDS)
        await planned(it)
        assert "4090" in it.rows("#matrix")[1]
        assert "[" in row(it, "auto")
        assert all(len(line) <= 60 for line in it.screen_text().splitlines())


async def test_a_profile_of_the_matrix_is_given_to_the_deployments_of_its_model(drive: Drive) -> None:
    client, _ = planned_client()
    async with drive(None, client=few(client)) as it:
        await it.press("3")
        await planned(it)
        await it.press("a")
        assert it.client.previewed[0].settings == (Setting(("deployments", "draft", "profile"), "auto"),)
        await it.press("y")
        assert it.client.applied == it.client.previewed


async def test_a_planner_that_fails_is_told_once_and_asked_again(drive: Drive) -> None:
    client, snapshot = planned_client()
    async with drive(None, client=few(client)) as it:
        it.client.refusal = WanTuiError("the planner has a cold")
        await it.press("3")
        await it.pilot.pause(0.2)
        assert "the planner has a cold" in it.text("#status")
        assert "the planner has a cold" in it.text("#cell-answer")
        it.client.refusal = None
        client.publish(replace(snapshot, number=snapshot.number + 1, profiles=profiles()[:1]))
        await planned(it)
        assert "offload" in it.text("#matrix")


async def test_without_an_engine_the_matrix_says_so(drive: Drive) -> None:
    async with drive(replace(snapshots.incompatible(), profiles=profiles())) as it:
        it.client.break_stream(WanTuiError("agent gone, reconnecting"))
        await it.settle()
        await it.press("3")
        await it.pilot.pause(0.1)
        assert "not connected to the engine" in it.text("#status")


async def test_answers_for_this_host_are_asked_again_when_its_memory_changed(drive: Drive) -> None:
    client, snapshot = planned_client()
    async with drive(None, client=few(client)) as it:
        await it.press("3")
        await planned(it)
        count = len(it.client.questions)
        current = client._snapshot
        assert current is not None
        client.publish(replace(current, number=1000))
        await it.pilot.pause(0.1)
        assert len(it.client.questions) == count, "nothing changed"
        fuller = replace(snapshot.gpus[0], memory_free_bytes=2**30)
        client.publish(replace(current, number=1001, gpus=(fuller,)))
        await it.pilot.pause(0.1)
        await planned(it)
        assert {question.gpu for question in it.client.questions[count:]} == {None}


async def test_everything_has_a_likeness_in_ascii(drive: Drive) -> None:
    client, _ = planned_client()
    async with drive(None, client=few(client), size=(160, 48), ascii_only=True) as it:
        await it.press("3")
        await planned(it)
        assert it.screen_text().isascii()
        assert "offload" in it.screen_text()


@pytest.mark.parametrize("name", [*usual(), *list(cards())[::7]])
def test_the_planner_knows_every_card_by_the_name_that_it_is_asked_with(name: str) -> None:
    assert search_gpu(cards()[name]).label == cards()[name]


def test_short_names_are_unique_and_the_usual_cards_are_there() -> None:
    from wan_tui.core.catalog.gpus import gpu_table

    assert len(cards()) == len(gpu_table())
    assert len(usual()) == 7
