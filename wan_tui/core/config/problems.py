"""What is wrong with a configuration, as data, and the safe edits that mend it."""

import copy
import difflib
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80


class Kind(StrEnum):
    UNREADABLE = "unreadable"
    UNKNOWN_KEY = "unknown_key"
    BAD_VALUE = "bad_value"
    MISSING_KEY = "missing_key"
    UNKNOWN_MODEL = "unknown_model"
    LEGACY_UNKNOWN_KEY = "legacy_unknown_key"
    LEGACY_FOREIGN = "legacy_foreign"
    LEGACY_CONTRADICTION = "legacy_contradiction"
    LEGACY_BAD_VALUE = "legacy_bad_value"
    LEGACY_UNSUPPORTED = "legacy_unsupported"
    LEGACY_FRAME_RULE = "legacy_frame_rule"
    LEGACY_NO_COUNTERPART = "legacy_no_counterpart"
    LEGACY_PARTLY_UNSUPPORTED = "legacy_partly_unsupported"


@dataclass(frozen=True, slots=True)
class Rename:
    """Give the last key of ``path`` another name."""

    path: tuple[str, ...]
    new: str


@dataclass(frozen=True, slots=True)
class Assign:
    path: tuple[str, ...]
    value: str


Edit = Rename | Assign


@dataclass(frozen=True, slots=True)
class Problem:
    """``fix`` None leaves the advice to the rule; ``edit`` is there when the mending is safe."""

    kind: Kind
    key: str
    message: str
    fix: str | None = None
    edit: Edit | None = None


def dotted(parts: Iterable[object]) -> str:
    """A key as it is read aloud; what cannot be printed is escaped."""
    texts = [str(part) for part in parts]
    return ".".join(text if text.isprintable() else repr(text) for text in texts)


def shown(value: object) -> str:
    """A value in a message: short, printable, and never too deep to be shown."""
    return _short.repr(value)


def nearest(name: str, known: Iterable[str]) -> list[str]:
    folded = {candidate.casefold(): candidate for candidate in known}
    return [folded[near] for near in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]


def _clear(name: str, near: list[str]) -> bool:
    """Whether the first of ``near`` is surely meant: close, and well ahead of the second."""
    ratios = [difflib.SequenceMatcher(None, known.casefold(), name.casefold()).ratio() for known in near[:2]]
    return bool(ratios) and ratios[0] >= 0.75 and (len(ratios) == 1 or ratios[0] - ratios[1] >= 0.15)


# What other pipelines of diffusers have, and people look for here, with what to do instead.
_NOT_OF_WAN = dict.fromkeys(
    ("attention_slicing", "enable_attention_slicing"),
    "remove it: the Wan transformers of diffusers have no attention slicing; offload and flash attention save memory",
)


def unknown_key(kind: Kind, path: tuple[str, ...], known: Iterable[str], taken: Iterable[str]) -> Problem:
    """The problem with a key that is not known; renaming is safe to a key that is clearly the nearest, and not set."""
    names = sorted(known)
    near = nearest(path[-1], names)
    edit = Rename(path, near[0]) if _clear(path[-1], near) and near[0] not in set(taken) else None
    key = dotted(path)
    if (instead := _NOT_OF_WAN.get(path[-1])) is not None:
        return Problem(kind, key, f"unknown key {key}", instead)
    if near:
        return Problem(kind, key, f"unknown key {key}", f"did you mean {', '.join(near)}? else remove it", edit)
    return Problem(kind, key, f"unknown key {key}", f"remove it; known here: {', '.join(names) or 'none'}")


def edited(data: dict[str, Any], edit: Edit) -> dict[str, Any]:
    """A copy of ``data`` with one edit made; order is kept."""
    result = copy.deepcopy(data)
    holder = result
    for part in edit.path[:-1]:
        holder = holder[part]
    if isinstance(edit, Assign):
        holder[edit.path[-1]] = edit.value
    elif edit.new not in holder:  # an earlier edit may have taken the name: nothing is overwritten
        renamed = {edit.new if key == edit.path[-1] else key: value for key, value in holder.items()}
        holder.clear()
        holder.update(renamed)
    return result
