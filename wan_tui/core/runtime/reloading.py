"""Another configuration while deployments run: what it changes, and for whom. Pure of any doing."""

from collections.abc import Callable
from dataclasses import dataclass

from wan_tui.core.config import DeploymentSettings, Settings

# What can change under a running worker; everything else of a deployment needs another one.
_OF_THE_ENGINE = frozenset({"wanted_loaded", "keep_alive_seconds", "replicas", "replan", "defaults"})
# Read once, when the process starts.
_AT_START: dict[str, Callable[[Settings], object]] = {
    "polling.deadline_seconds": lambda settings: settings.polling.deadline_seconds,
    "exporter": lambda settings: settings.exporter,
    "paths.history": lambda settings: settings.paths.history,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Names of deployments by what has to happen to them, and keys that apply at the next start.

    ``rebuilt`` need another worker, ``adjusted`` go on with the one that they have.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()
    at_next_start: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In words, for the log."""
        parts = [
            f"{what} {', '.join(names)}"
            for what, names in (
                ("added", self.added),
                ("removed", self.removed),
                ("changed", (*self.rebuilt, *self.adjusted)),
                ("at the next start:", self.at_next_start),
            )
            if names
        ]
        return "; ".join(parts) or "no deployment changed"


def changes(before: Settings, after: Settings) -> Changes:
    """What ``after`` asks for where ``before`` applies."""
    old, new = before.replicas, after.replicas
    kept = [name for name in new if name in old]
    rebuilt = [name for name in kept if _another_worker(before, after, name)]
    return Changes(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        rebuilt=tuple(rebuilt),
        adjusted=tuple(name for name in kept if new[name] != old[name] and name not in rebuilt),
        at_next_start=tuple(key for key, read in _AT_START.items() if read(before) != read(after)),
    )


def _another_worker(before: Settings, after: Settings, name: str) -> bool:
    old, new = before.replicas[name], after.replicas[name]
    keys = DeploymentSettings.model_fields.keys() - _OF_THE_ENGINE
    same_profile = before.known_profiles[old.profile] == after.known_profiles[new.profile]
    return not same_profile or any(getattr(old, key) != getattr(new, key) for key in keys)
