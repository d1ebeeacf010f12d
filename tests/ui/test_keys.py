"""Keys: the page in the documentation, the page that ``?`` shows, and the names that a keymap uses."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from textual.binding import Binding

from tests import snapshots
from tests.ui.conftest import Drive
from wan_tui import ui
from wan_tui.ui.app import WanTuiApp
from wan_tui.ui.keys import all_screens, bindings_of, page, shared
from wan_tui.ui.screens.help import key_name
from wan_tui.ui.screens.registry import TABS

PAGE = Path(ui.__file__).with_name("KEYS.md")


def test_the_page_of_keys_is_what_the_bindings_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(WanTuiApp), "make keys writes it anew"


def test_every_binding_has_a_name_and_says_what_it_does() -> None:
    for screen in all_screens():
        for binding in [*bindings_of(screen), *shared(WanTuiApp)]:
            assert binding.id, (screen, binding)
            assert binding.tooltip, (screen, binding)


def keys_of(bindings: Iterable[Binding]) -> set[str]:
    return {key for binding in bindings for key in binding.key.split(",")}


def test_no_screen_takes_a_key_away_that_works_everywhere() -> None:
    everywhere = keys_of(binding for binding in WanTuiApp.BINDINGS if isinstance(binding, Binding))
    for screen in all_screens():
        own = [binding for binding in bindings_of(screen) if binding not in WanTuiApp.BINDINGS]
        assert not keys_of(own) & (everywhere - {"g", "r"}), screen


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.mode)
async def test_help_shows_the_keys_of_the_tab_as_the_page_does(drive: Drive, tab: object) -> None:
    mode = tab.mode  # type: ignore[attr-defined]
    text = PAGE.read_text(encoding="utf-8")
    async with drive(snapshots.eight_gpus_one_lost(), size=(120, 40)) as it:
        it.app.action_show(mode)
        await it.settle()
        it.app.screen.set_focus(None)
        it.app.action_help()
        await it.settle()
        shown = it.text("#help-rows")
        screen = next(one for one in all_screens() if one.mode == mode)
        for binding in [*bindings_of(screen), *shared(WanTuiApp)]:
            names = ", ".join(key_name(key) for key in binding.key.split(","))
            assert names in shown
            assert str(binding.tooltip) in text
