"""Options of the screens: the [ui] table, keys of one's own, themes, what is remembered, refresh."""

import asyncio
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests import snapshots
from tests.ui.conftest import Drive
from tests.ui.test_shell import command, type_line
from wan_tui.core.config import Settings
from wan_tui.core.errors import UsageError
from wan_tui.ui.app import WanTuiApp
from wan_tui.ui.feed import Feed, SnapshotArrived
from wan_tui.ui.keymap import check
from wan_tui.ui.memory import Memory, recall
from wan_tui.ui.options import UiOptions, from_file, from_table
from wan_tui.ui.screens.log import LogScreen
from wan_tui.ui.theme import THEMES

# -- the table


def test_the_table_of_the_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "wan-tui.toml"
    file.write_text(
        '[ui]\ntheme = "light"\nrefresh_seconds = 2\nmouse = true\nhosts = ["a", "b"]\nkeys = { "job.cancel" = "x" }\n'
    )
    assert from_file(file) == UiOptions(
        theme="light", refresh_seconds=2, mouse=True, hosts=("a", "b"), keys={"job.cancel": "x"}
    )
    assert Settings.model_validate(tomllib.loads(file.read_text())).ui.keys == {"job.cancel": "x"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"themes": "light"}, "f: ui.themes: unknown key 'themes': did you mean theme"),
        ({"mouse": 1}, "f: ui.mouse = 1: is of the wrong kind"),
        ({"refresh_seconds": 0.001}, "f: ui.refresh_seconds = 0.001: must be 0.05 to 60 seconds"),
        ({"keys": {"job.cancel": 3}}, "f: ui.keys.job.cancel = 3: must be the name of a key"),
        ({"hosts": [1]}, "f: ui.hosts"),
        (3, "f: ui = 3: must be a table"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(table: object, message: str) -> None:
    with pytest.raises(UsageError) as failure:
        from_table(table, "f")
    assert message in str(failure.value)


def test_without_a_file_or_with_one_that_is_no_toml_the_defaults_apply(tmp_path: Path) -> None:
    assert from_file(None) == UiOptions()
    assert from_file(tmp_path / "none.toml") == UiOptions()
    broken = tmp_path / "broken.toml"
    broken.write_text("[ui\n")
    assert from_file(broken) == UiOptions()


# -- keys of one's own


async def test_an_action_can_have_another_key(drive: Drive) -> None:
    async with drive(
        snapshots.pocket_running(), options=UiOptions(refresh_seconds=0, keys={"job.cancel": "ctrl+x"})
    ) as it:
        await it.press("c")
        assert "Cancel job-2?" not in it.screen_text()
        await it.press("ctrl+x")
        assert "Cancel job-2?" in it.screen_text()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"job.cancle": "x"}, "unknown action 'job.cancle': did you mean job.cancel"),
        ({"job.cancel": "l"}, "l already means deployment.load"),
        ({"app.quit": "slash"}, "slash already means rows.filter"),
    ],
)
def test_a_key_cannot_mean_two_things(keys: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as failure:
        check(keys, WanTuiApp)
    assert message in str(failure.value)


def test_two_actions_can_change_places() -> None:
    check({"job.cancel": "u", "deployment.unload": "c"}, WanTuiApp)


# -- themes


async def test_every_theme_can_be_chosen_and_is_remembered(drive: Drive, tmp_path: Path) -> None:
    state = tmp_path / "ui.json"
    for name, theme in THEMES.items():
        async with drive(
            snapshots.eight_gpus_one_lost(), options=UiOptions(refresh_seconds=0, theme=None, state=state)
        ) as it:
            await command(it, f":theme {name}")
            assert it.app.theme == theme.name
            assert "story" in it.screen_text()
            await it.press("q")
        assert recall(state).theme == name
    async with drive(snapshots.empty_host(), options=UiOptions(refresh_seconds=0, state=state)) as it:
        assert it.app.theme == THEMES["ansi"].name, "the last one chosen"


async def test_no_color_keeps_its_promise_whatever_is_chosen(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with drive(snapshots.eight_gpus_one_lost(), options=UiOptions(refresh_seconds=0, theme="light")) as it:
        assert it.app.theme == THEMES["ansi"].name
        await command(it, ":theme dark")
        assert "NO_COLOR is set" in it.text("#status")


# -- what is remembered


async def test_the_last_screen_and_filters_come_back(drive: Drive, tmp_path: Path) -> None:
    options = UiOptions(refresh_seconds=0, state=tmp_path / "deep" / "ui.json")
    async with drive(snapshots.pocket_running(), options=options) as it:
        await it.press("8")
        await type_line(it, "/loaded")
        await it.press("enter", "q")
    async with drive(snapshots.pocket_running(), options=options) as it:
        await it.settle()
        assert isinstance(it.app.screen, LogScreen)
        assert len([line for line in it.rows("#log") if "loaded" in line]) >= 1
        assert "started" not in it.text("#log")


def test_what_was_kept_by_something_else_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "ui.json"
    for content in (b"", b"{", b"[]", b'{"screen": 3, "filters": [1], "commands": {"a": 1}}', b"\xff"):
        file.write_bytes(content)
        assert recall(file) == Memory(file)
    Memory(file, commands=["load a"], filters={"log.log": "x"}).save()
    assert recall(file).commands == ["load a"]


def test_a_place_that_cannot_be_written_is_no_trouble() -> None:
    Memory(Path("/proc/nowhere/ui.json"), screen="log").save()


# -- refresh


async def test_snapshots_in_between_are_left_out_and_the_newest_comes() -> None:
    posted: list[int] = []
    feed = Feed(lambda: None, lambda message: posted.append(message.snapshot.number), pause_seconds=0.2)  # type: ignore[attr-defined]
    snapshot = snapshots.empty_host()
    for number in range(1, 30):
        feed._offer(replace(snapshot, number=number))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert posted[0] == 1, "the first at once"
    assert posted[-1] == 29, "the newest in the end"
    assert len(posted) <= 4
    assert SnapshotArrived(snapshot).can_replace(SnapshotArrived(snapshot))


async def test_refresh_and_slow_link_are_commands(drive: Drive) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 48)) as it:
        preview = it.app.screen.query_one("#overview-preview")
        assert preview.display
        await command(it, ":refresh 2")
        assert it.app.feed.pause_seconds == 2
        await command(it, ":slow on")
        assert it.app.feed.pause_seconds == 5
        assert not preview.display
        await command(it, ":refresh soon")
        assert "must be a number of seconds" in it.text("#status")
