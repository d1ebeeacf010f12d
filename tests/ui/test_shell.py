"""Moving about: tabs, the command line, the palette, filters, and what Enter opens."""

from collections.abc import Iterable

from textual.command import CommandPalette
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input

from tests import snapshots
from tests.ui.conftest import Drive, Driver
from wan_tui.core.snapshot import Snapshot
from wan_tui.ui import verbs
from wan_tui.ui.screens.base import DetailScreen
from wan_tui.ui.screens.confirm import Confirm
from wan_tui.ui.screens.generate import GenerateScreen
from wan_tui.ui.screens.log import LogScreen
from wan_tui.ui.screens.overview import OverviewScreen
from wan_tui.ui.screens.registry import TABS
from wan_tui.ui.text import Frame, Row, text
from wan_tui.ui.widgets.rows import SelectableRows


async def type_line(it: Driver, line: str) -> None:
    """``:`` or ``/`` and what follows, without Enter."""
    await it.press({":": "colon", "/": "slash"}[line[0]])
    it.app.screen.query_one("#prompt-input", Input).value = line[1:]
    await it.settle()


async def command(it: Driver, line: str) -> None:
    await type_line(it, line)
    await it.press("enter")


# -- tabs


async def test_every_tab_opens_with_its_key_and_by_its_name(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        for tab in TABS:
            it.app.action_show("overview")
            await it.settle()
            await it.press(tab.key)
            assert it.app.current_mode == tab.mode
            assert f"{tab.key} {tab.title}" in it.text("#header")
        for tab in TABS:
            it.app.action_show("overview")
            await it.settle()
            await command(it, f":{tab.mode}")
            assert it.app.current_mode == tab.mode


async def test_the_header_keeps_every_key_down_to_sixty_columns(drive: Drive) -> None:
    for width in (60, 80, 120, 160):
        async with drive(snapshots.eight_gpus_one_lost(), size=(width, 30)) as it:
            shown = it.text("#header")
            assert all(tab.key in shown for tab in TABS), shown


# -- the mouse


async def test_a_click_opens_a_tab_selects_a_row_and_twice_opens_it(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(120, 40)) as it:
        at = it.text("#header").index("8 Logs") + 2
        await it.pilot.click("#header", offset=(at, 0))
        await it.settle()
        assert isinstance(it.app.screen, LogScreen)
        await it.press("7")
        await it.pilot.click("#gpus", offset=(10, 4))
        assert (
            it.app.screen.query_one("#gpus", SelectableRows).cursor
            == it.app.screen.query_one("#gpus", SelectableRows).keys[2]
        )
        await it.pilot.click("#gpus", offset=(10, 4), times=2)
        await it.settle()
        assert "GPUs › GPU 2" in it.text("#header")


# -- the command line


async def test_commands_reach_the_engine(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await command(it, ":load draft")
        assert it.client.commands == [("load", "draft")]
        assert "load draft: accepted" in it.text("#status")
        await command(it, ":unload photo")
        assert it.client.commands[-1] == ("unload", "photo")


async def test_a_command_that_ends_work_asks_first(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await command(it, ":unload pocket")
        assert isinstance(it.app.screen, Confirm)
        await it.press("n")
        await command(it, ":cancel job-2")
        await it.press("y")
        assert it.client.commands == [("cancel", "job-2")]


async def test_a_beginning_is_enough_and_nonsense_is_one_line(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await command(it, ":gen pocket")
        assert isinstance(it.app.screen, GenerateScreen)
        await it.press("escape", "escape")
        for line, reason in (
            (":frobnicate", "unknown command 'frobnicate'"),
            (":load nowhere", "unknown deployment 'nowhere'"),
            (":load", "usage: :load DEPLOYMENT"),
            (":load 'x", "no closing quotation"),
            (":cancel job-99", "unknown job 'job-99'"),
            (":theme pink", "unknown theme 'pink'"),
        ):
            await command(it, line)
            assert reason in it.text("#status"), line
        assert it.client.commands == []


async def test_tab_completes_verbs_and_names(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await type_line(it, ":loa")
        await it.press("tab")
        line = it.app.screen.query_one("#prompt-input", Input)
        assert line.value == "load "
        assert "story" in it.text("#status")
        line.value = "load dr"
        await it.press("tab")
        assert line.value == "load draft "
        await it.press("escape")
        assert not it.app.screen.query_one("#prompt-line").display
        assert it.app.focused is it.app.screen.query_one("#deployments")


async def test_what_is_typed_ahead_goes_into_the_line_and_is_no_key(drive: Drive) -> None:
    """On a slow line a whole command may come in one piece: its letters must not load, cancel or quit."""
    async with drive(snapshots.pocket_running()) as it:
        for key, character in (("colon", ":"), *((letter, letter) for letter in "quit"), ("x", "x")):
            it.app.post_message(Key(key, character))
        await it.settle()
        await it.settle()
        assert it.app.is_running
        assert it.app.screen.query_one("#prompt-input", Input).value == "quitx"
        assert it.client.commands == []


async def test_the_commands_typed_before_come_back_with_up(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await command(it, ":load draft")
        await it.press("colon", "up")
        assert it.app.screen.query_one("#prompt-input", Input).value == "load draft"


async def test_quit_is_a_command_too(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await command(it, ":q")
        assert not it.app.is_running


def test_every_command_says_what_it_does() -> None:
    names = [verb.name for verb in verbs.VERBS]
    assert len(names) == len(set(names))
    assert all(verb.about for verb in verbs.VERBS)


# -- the palette


async def test_the_palette_offers_the_same_commands(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(100, 40)) as it:
        await it.press("ctrl+p")
        assert isinstance(it.app.screen, CommandPalette)
        await it.press(*"load draft")
        await it.pilot.pause(0.5)
        await it.press("enter", "enter")
        await it.pilot.pause(0.2)
        assert it.client.commands == [("load", "draft")]


# -- filters


async def test_a_filter_hides_rows_as_it_is_typed_and_esc_shows_all(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        rows = it.app.screen.query_one("#deployments", SelectableRows)
        everything = rows.keys
        await type_line(it, "/draft")
        assert rows.keys == ["draft"]
        assert "1 of" in it.text("#deployments")
        await it.press("enter", "l")
        assert it.client.commands == [("load", "draft")]
        await it.press("escape")
        assert rows.keys == everything
        await type_line(it, "/!draft")
        assert rows.keys == [name for name in everything if name != "draft"]
        await it.press("escape")
        assert rows.keys == everything


async def test_a_filter_outlives_the_tab(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("8")
        assert isinstance(it.app.screen, LogScreen)
        await type_line(it, "/job-102")
        await it.press("enter", "1", "8")
        assert all("job-102" in line for line in it.rows("#log")[2:])
        assert it.app.session.memory.filters == {"log.log": "job-102"}


# -- what Enter opens


class Page(DetailScreen):
    mode = "overview"

    def compose_body(self) -> Iterable[Widget]:
        yield self.rows("page")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        page = self.query_one("#page")
        assert hasattr(page, "show")
        page.show(lambda view: Frame((), (Row(text(f"{len(snapshot.gpus)} GPUs".ljust(view.width))),)))


async def test_a_page_of_one_thing_has_a_crumb_and_esc_leaves_it(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.app.push_screen(Page(it.app.session, "gpu:3"))
        await it.settle()
        assert "1 Overview › gpu:3" in it.text("#header")
        assert "8 GPUs" in it.text("#page")
        await it.press("8", "1")
        assert isinstance(it.app.screen, Page), "a tab is as it was left"
        await it.press("1")
        assert isinstance(it.app.screen, OverviewScreen), "its key a second time leads to its beginning"
        await it.app.push_screen(Page(it.app.session, "gpu:3"))
        await it.press("escape")
        assert isinstance(it.app.screen, OverviewScreen)
