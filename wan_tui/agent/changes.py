"""Changes to the configuration, as faces ask for them. Data alone: screens import this."""

from __future__ import annotations

from dataclasses import dataclass

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
