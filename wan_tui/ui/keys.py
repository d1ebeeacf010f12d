"""Every key, from the bindings themselves: for the page ``?`` shows and for the page in the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding

from wan_tui.ui.format import key_name
from wan_tui.ui.screens.base import BaseScreen, DetailScreen
from wan_tui.ui.screens.confirm import Confirm
from wan_tui.ui.screens.help import Help, explained
from wan_tui.ui.screens.picker import Picker
from wan_tui.ui.screens.player import Player
from wan_tui.ui.screens.registry import TABS, tab_of
from wan_tui.ui.widgets.prompt_line import PromptLine
from wan_tui.ui.widgets.rows import SelectableRows

if TYPE_CHECKING:
    from textual.app import App


def all_screens() -> list[type[BaseScreen]]:
    """Every tab, and every page that Enter opens; imports them all."""
    import importlib
    import pkgutil

    from wan_tui.ui import screens

    for one in pkgutil.iter_modules(screens.__path__):  # pages too, which their tabs import when one is opened
        importlib.import_module(f"{screens.__name__}.{one.name}")
    found: list[type[BaseScreen]] = []
    for tab in TABS:
        module = importlib.import_module(f"wan_tui.ui.screens.{tab.module}")
        found.append(getattr(module, tab.name))
    ours = [kind for kind in _below(DetailScreen) if kind.__module__.startswith("wan_tui.ui.")]
    pages = [kind for kind in ours if not kind.__name__.startswith("_")]  # what pages share is none
    order = [tab.mode for tab in TABS]
    return sorted(
        [*found, *(page for page in pages if getattr(page, "mode", None) in order)],
        key=lambda screen: (order.index(screen.mode), issubclass(screen, DetailScreen), screen.__name__),
    )


def _below(kind: type[BaseScreen]) -> list[type[BaseScreen]]:
    return [one for below in kind.__subclasses__() for one in (below, *_below(below))]


def bindings_of(screen: type[BaseScreen]) -> list[Binding]:
    """Of a screen and of its own widgets."""
    kinds = [kind for kind in screen.__mro__ if issubclass(kind, BaseScreen) and kind not in (BaseScreen, DetailScreen)]
    owners = [*(kind for kind in kinds if "BINDINGS" in vars(kind)), *screen.widgets_with_keys]
    return [binding for owner in owners for binding in owner.BINDINGS if isinstance(binding, Binding)]


def shared(app: type[App[None]]) -> list[Binding]:
    """What works on every screen, lists included."""
    owners = (BaseScreen, app, SelectableRows)
    return [binding for owner in owners for binding in owner.BINDINGS if isinstance(binding, Binding)]


Section = tuple[str, list[tuple[str, str]]]


def of_screen(screen: type[BaseScreen]) -> Section:
    """The keys of one tab or detail page alone."""
    own = [
        kind
        for kind in screen.__mro__
        if issubclass(kind, BaseScreen) and kind not in (BaseScreen, DetailScreen) and "BINDINGS" in vars(kind)
    ]
    title = screen.title_of_keys or tab_of(screen.mode).title
    return title.upper(), [pair for kind in own for pair in explained(kind.BINDINGS)]


def everywhere(app: type[App[None]]) -> list[Section]:
    return [
        ("EVERYWHERE", explained(BaseScreen.BINDINGS) + explained(app.BINDINGS)),
        ("LISTS", explained(SelectableRows.BINDINGS)),
        ("COMMANDS AND FILTERS", explained(PromptLine.BINDINGS)),
        ("QUESTIONS", explained(Confirm.BINDINGS)),
        ("VIDEO PLAYER", explained(Player.BINDINGS)),
        ("CHOOSING A PICTURE", explained(Picker.BINDINGS)),
        ("THIS PAGE", explained(Help.BINDINGS)),
    ]


def sections(screen: type[BaseScreen], app: type[App[None]]) -> list[Section]:
    """Of the screen first, with the keys of its own widgets, then those that work everywhere."""
    title, own = of_screen(screen)
    for widget in screen.widgets_with_keys:
        own += explained(widget.BINDINGS)
    return [*([(title, own)] if own else []), *everywhere(app)]


def page(app: type[App[None]]) -> str:
    """The page of keys for the documentation, as Markdown: what ``?`` shows on every screen."""
    parts = [
        "# Keys of the terminal UI",
        "",
        "Generated from the bindings by `make keys`; `?` shows the same for the screen you are on.",
        '`[ui.keys]` of the configuration gives an action another key by its name: `"job.cancel" = "ctrl+k"`.',
    ]
    for title, bindings in _groups(app):
        parts += ["", f"## {title}", "", "| key | does | action |", "|---|---|---|"]
        for binding in bindings:
            keys = ", ".join(f"`{key_name(key)}`" for key in binding.key.split(","))
            parts.append(f"| {keys} | {binding.tooltip or binding.description} | `{binding.id}` |")
    return "\n".join(parts) + "\n"


def _groups(app: type[App[None]]) -> list[tuple[str, list[Binding]]]:
    def of(*owners: type) -> list[Binding]:
        return [binding for owner in owners for binding in owner.BINDINGS if isinstance(binding, Binding)]  # type: ignore[attr-defined]

    groups = [
        ("Everywhere", of(BaseScreen, app)),
        ("Lists", of(SelectableRows)),
        ("Commands and filters", of(PromptLine)),
    ]
    for screen in all_screens():
        if found := bindings_of(screen):
            groups.append((screen.title_of_keys or tab_of(screen.mode).title, found))
    return [
        *groups,
        ("Questions", of(Confirm)),
        ("Player", of(Player)),
        ("Files", of(Picker)),
        ("Page of keys", of(Help)),
    ]
