"""How the screens behave, from the ``[ui]`` table of the configuration and the command line.

Read without the parser of the whole configuration: the first frame does not wait for that. What is wrong elsewhere
in the file is told by the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wan_tui.core.errors import UsageError, unknown_name

SLOW_REFRESH_SECONDS = 5.0
SHORTEST_SECONDS, LONGEST_SECONDS = 0.05, 60.0


@dataclass(frozen=True, slots=True)
class UiOptions:
    """``theme`` None is what was chosen last; ``ascii_only`` None asks the locale; ``state`` remembers nothing."""

    theme: str | None = None
    refresh_seconds: float = 0.2
    slow_link: bool = False
    mouse: bool = False
    hosts: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    screen: str | None = None
    ascii_only: bool | None = None
    state: Path | None = None

    @property
    def pause_seconds(self) -> float:
        """The least time between two pictures."""
        return max(self.refresh_seconds, SLOW_REFRESH_SECONDS) if self.slow_link else self.refresh_seconds


def from_file(file: Path | None) -> UiOptions:
    """The ``[ui]`` table of ``file``; what is not TOML, or is not there, has none. Raises UsageError."""
    if file is None or file.suffix.casefold() == ".json":
        return UiOptions()
    if not file.exists():
        return UiOptions()
    import tomllib  # the first frame does not wait for it where there is no file

    try:
        table: Any = tomllib.loads(file.read_bytes().decode()).get("ui", {})
    except (OSError, ValueError):
        return UiOptions()  # told by whoever reads the whole file
    return from_table(table, str(file))


def from_table(table: Any, where: str) -> UiOptions:
    """Raises UsageError naming ``where``, key, value and fix."""
    if not isinstance(table, dict):
        raise UsageError(f"{where}: ui = {table!r}: must be a table, [ui]")
    kinds: dict[str, type | tuple[type, ...]] = {
        "theme": str,
        "refresh_seconds": (int, float),
        "slow_link": bool,
        "mouse": bool,
        "hosts": list,
        "keys": dict,
    }
    for key, value in table.items():
        if key not in kinds:
            raise UsageError(f"{where}: ui.{key}: {unknown_name('key', key, kinds)}")
        if not isinstance(value, kinds[key]) or (isinstance(value, bool) and kinds[key] == (int, float)):
            raise UsageError(f"{where}: ui.{key} = {value!r}: is of the wrong kind")
    for key, value in table.get("keys", {}).items():
        if not isinstance(value, str) or not value:
            raise UsageError(f"{where}: ui.keys.{key} = {value!r}: must be the name of a key, such as ctrl+k")
    if not all(isinstance(host, str) for host in table.get("hosts", ())):
        raise UsageError(f"{where}: ui.hosts = {table['hosts']!r}: must be names of hosts, as ssh takes them")
    values = {**table, "hosts": tuple(table.get("hosts", ()))}
    checked(values.get("refresh_seconds", 0.2), f"{where}: ui.refresh_seconds")
    return UiOptions(**values)


def checked(seconds: float, what: str) -> float:
    """``seconds`` itself. Raises UsageError outside what makes sense."""
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise UsageError(f"{what} = {seconds:g}: must be {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g} seconds")
    return seconds
