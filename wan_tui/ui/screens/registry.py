"""Every tab: its key, names, and where its class is. A class is imported when its tab is first opened."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wan_tui.ui.screens.base import BaseScreen
    from wan_tui.ui.session import Session


@dataclass(frozen=True, slots=True)
class Tab:
    """``short`` is what a terminal of 80 columns has room for; ``about`` is the line on the page of keys."""

    key: str
    title: str
    short: str
    mode: str
    module: str
    name: str
    about: str

    def make(self, session: Session) -> BaseScreen:
        screen: BaseScreen = getattr(importlib.import_module(f"wan_tui.ui.screens.{self.module}"), self.name)(session)
        return screen


# fmt: off
TABS = (
    Tab("1", "Overview", "Over", "overview", "overview", "OverviewScreen", "GPUs, deployments, the job to watch"),
    Tab("2", "Deployments", "Depl", "deployments", "deployments", "DeploymentsScreen", "Load, pin, profiles, remedies"),
    Tab("3", "Compatibility", "Compat", "compatibility", "compatibility", "CompatibilityScreen", "What fits where"),
    Tab("4", "Validation", "Valid", "validation", "validation", "ValidationScreen", "Findings, rules, safe fixes"),
    Tab("5", "Generate", "Gen", "generate", "generate", "GenerateScreen", "The form, the job, the preview"),
    Tab("6", "Jobs", "Jobs", "jobs", "jobs", "JobsScreen", "Queue, history, how good the estimates were"),
    Tab("7", "GPUs", "GPUs", "gpus", "gpus", "GpusScreen", "Every GPU: figures, processes, the last hour"),
    Tab("8", "Logs", "Logs", "log", "log", "LogScreen", "Everything that happened"),
    Tab("9", "Fleet", "Fleet", "fleet", "fleet", "FleetScreen", "Other hosts of the configuration"),
)
# fmt: on
HOME = TABS[0].mode


def tab_of(mode: str) -> Tab:
    """Raises KeyError for a mode that is no tab."""
    for tab in TABS:
        if tab.mode == mode:
            return tab
    raise KeyError(mode)
