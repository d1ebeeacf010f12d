"""Other keys for actions, as ``[ui.keys]`` of the configuration says: checked against what there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from textual.binding import Binding

from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.ui.keys import all_screens, bindings_of, shared

if TYPE_CHECKING:
    from textual.app import App


def check(keys: Mapping[str, str], app: type[App[None]]) -> None:
    """Raises UsageError for an action that does not exist, or a key that would mean two things on one screen."""
    everywhere = [*shared(app)]
    screens = {screen.__name__: [*everywhere, *bindings_of(screen)] for screen in all_screens()}
    known = {binding.id: binding for bindings in screens.values() for binding in bindings if binding.id}
    for name in keys:
        if name not in known:
            raise UsageError(f"ui.keys: {unknown_name('action', name, known)}")
    for bindings in screens.values():
        _no_clash(keys, bindings)


def _no_clash(keys: Mapping[str, str], bindings: Iterable[Binding]) -> None:
    taken: dict[str, Binding] = {}
    for binding in bindings:
        for key in keys.get(binding.id or "", binding.key).split(","):
            other = taken.setdefault(key.strip(), binding)
            changed = {binding.id, other.id} & keys.keys()
            if other is not binding and other.id != binding.id and changed:
                name = next(iter(changed))
                raise UsageError(
                    f'ui.keys: "{name}" = "{keys[name or ""]}": {key.strip()} already means '
                    f"{(other if binding.id == name else binding).id}; choose another key"
                )
