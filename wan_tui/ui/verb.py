"""What a command of the ``:`` line is: its name, its arguments, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wan_tui.core.errors import UsageError

if TYPE_CHECKING:
    from wan_tui.ui.app import WanTuiApp

Run = Callable[["WanTuiApp", list[str]], object]
Complete = Callable[["WanTuiApp", list[str]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Verb:
    """``usage`` names the arguments: ``NAME`` must be there, ``[NAME]`` may."""

    name: str
    usage: str
    about: str
    run: Run
    complete: Complete = lambda app, given: ()

    @property
    def line(self) -> str:
        return f":{self.name} {self.usage}".rstrip()

    def check(self, given: list[str]) -> None:
        """Raises UsageError unless the number of arguments is right; ``…`` at the end takes any more."""
        wanted = [word for word in self.usage.split() if word != "…"]
        least, most = sum(not word.startswith("[") for word in wanted), len(wanted)
        if len(given) < least or (len(given) > most and not self.usage.endswith("…")):
            raise UsageError(f"usage: {self.line}")
