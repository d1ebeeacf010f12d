"""Changes to the configuration, as faces ask for them. Data alone: screens import this."""

from __future__ import annotations

from dataclasses import dataclass

from wan_tui.core.errors import UsageError

Value = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the file by its path, and its new value; None takes it away, so that its default applies."""

    path: tuple[str, ...]
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New values of ``settings``, or the ``safe_fixes`` that validation would make (one of the two)."""

    settings: tuple[Setting, ...] = ()
    safe_fixes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePreview:
    """What a change would do to ``file``: a unified ``diff``, empty when it is so already.

    ``base`` stands for the text that the diff was made from: a change is applied to that text or not at all.
    ``creates``: there is no such file yet.
    """

    file: str
    diff: str
    base: str
    creates: bool = False


def of_deployment(name: str, *changes: tuple[str, Value]) -> Change:
    """Settings of one deployment by their dotted keys, as remedies name them (``defaults.frames``)."""
    return Change(settings=tuple(Setting(("deployments", name, *key.split(".")), value) for key, value in changes))


def setting_of(key: str, word: str | None) -> Change:
    """One setting as it is typed: ``true``, ``5`` and ``0.5`` are what they look like, the rest is text; None takes
    the key away. Raises UsageError for a key that is no path."""
    path = tuple(key.split("."))
    if not all(path):
        raise UsageError(f"{key!r}: a key by its path, such as deployments.story.profile")
    return Change(settings=(Setting(path, None if word is None else _value(word)),))


def _value(word: str) -> Value:
    if word in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
