"""Where this user's files go, by the rules of the platform (XDG on Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

CONFIG_VARIABLE = "WANTUI_CONFIG"
SOCKET_VARIABLE = "WANTUI_AGENT_SOCKET"
# Read by workers alone (wan_tui/worker/faults.py).
FAULT_VARIABLE = "WANTUI_FAULT"


@dataclass(frozen=True, slots=True)
class DefaultPaths:
    cache: Path
    data: Path
    config: Path
    state: Path


def default_paths() -> DefaultPaths:
    return DefaultPaths(
        cache=platformdirs.user_cache_path("wan-tui"),
        data=platformdirs.user_data_path("wan-tui"),
        config=platformdirs.user_config_path("wan-tui"),
        state=platformdirs.user_state_path("wan-tui"),
    )


def config_file() -> Path | None:
    """The file that applies: ``$WANTUI_CONFIG``, else wan-tui.toml in the config directory if there is one."""
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    usual = default_paths().config / "wan-tui.toml"
    return usual if usual.exists() else None
