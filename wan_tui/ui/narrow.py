"""What changed on the screen in as few bytes as it can have.

Textual draws a changed line from the left edge of its widget and gives every piece its full colours: a quarter of a
line costs all of it. Here only the cells of the changed regions go out, and only the codes that differ.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from rich.console import COLOR_SYSTEMS
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor

if TYPE_CHECKING:
    from rich.color import ColorSystem
    from rich.console import Console

_RESET = "\x1b[0m"


class _Look(NamedTuple):
    """The codes of a style in three parts, each of which may stay while others change."""

    attributes: str = ""
    foreground: str = ""
    background: str = ""


_PLAIN = _Look()


@lru_cache(maxsize=1024)
def _look(style: Style, system: ColorSystem) -> _Look:
    foreground = style.color.downgrade(system).get_ansi_codes() if style.color else ()
    background = style.bgcolor.downgrade(system).get_ansi_codes(foreground=False) if style.bgcolor else ()
    attributes = style.without_color.render("x", color_system=system).partition("x")[0]
    return _Look(attributes.removeprefix("\x1b[").removesuffix("m"), ";".join(foreground), ";".join(background))


def _turn(old: _Look, new: _Look) -> str:
    """The sequence that leads from one look to the other."""
    if old == new:
        return ""
    gone = (old.foreground and not new.foreground) or (old.background and not new.background)
    if new == _PLAIN:
        return _RESET
    if old.attributes != new.attributes or gone:
        begin = ("0",) if old != _PLAIN else ()
        return f"\x1b[{';'.join((*begin, *filter(None, new)))}m"
    changed = [code for was, code in zip(old[1:], new[1:], strict=True) if code != was]
    return f"\x1b[{';'.join(changed)}m"


class NarrowUpdate(ChopsUpdate):
    """The cells of ``spans`` and nothing beside them."""

    def render_segments(self, console: Console) -> str:
        system = COLOR_SYSTEMS[console.color_system or "truecolor"]
        out: list[str] = []
        look = _PLAIN
        at: tuple[int, int] | None = None
        for y, x1, x2 in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                left, right = max(x, x1), min(end, x2)
                if at != (left, y):
                    out.append(f"\x1b[{y + 1};{left + 1}H")
                at = right, y
                for text, style, _ in strip.crop(left - x, right - x):
                    wanted = _look(style, system) if style else _PLAIN
                    if text.isspace() and look.attributes == wanted.attributes == "" and look.foreground:
                        wanted = wanted._replace(foreground=look.foreground)  # a blank shows no colour of its own
                    out.append(_turn(look, wanted) + text)
                    look = wanted
        out.append(_turn(look, _PLAIN))
        return "".join(out)


class NarrowCompositor(Compositor):
    """Textual's, with updates that are cut on both sides."""

    def render_partial_update(self) -> ChopsUpdate | None:
        update = super().render_partial_update()
        return None if update is None else NarrowUpdate(update.chops, update.spans, update.chop_ends)
