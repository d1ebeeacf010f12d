"""``WANTUI_SECTION_KEY`` variables, which beat the file. An empty one counts as unset."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wan_tui.core.paths import CONFIG_VARIABLE, FAULT_VARIABLE, SOCKET_VARIABLE

PREFIX = "WANTUI_"


@dataclass(frozen=True, slots=True)
class Override:
    variable: str
    section: str
    key: str
    value: str


def variable_name(section: str, key: str) -> str:
    return f"{PREFIX}{section}_{key}".upper()


def overrides(
    sections: Mapping[str, Iterable[str]], environment: Mapping[str, str] | None = None
) -> tuple[Override, ...]:
    """The variables that are set and name a key of ``sections``."""
    given = os.environ if environment is None else environment
    named = [(variable_name(section, key), section, key) for section, keys in sections.items() for key in keys]
    return tuple(Override(name, section, key, given[name]) for name, section, key in named if given.get(name))


def known_variables(sections: Mapping[str, Iterable[str]]) -> list[str]:
    return [
        CONFIG_VARIABLE,
        SOCKET_VARIABLE,
        FAULT_VARIABLE,
        *(variable_name(section, key) for section, keys in sections.items() for key in keys),
    ]


def unknown_variables(
    sections: Mapping[str, Iterable[str]], environment: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """``WANTUI_`` variables that mean nothing here."""
    given = os.environ if environment is None else environment
    known = set(known_variables(sections))
    return tuple(sorted(name for name in given if name.startswith(PREFIX) and name not in known))
