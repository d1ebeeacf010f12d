"""What happened, in SQLite: loads and runs with their estimates beside the observations, and measured rates."""

from wan_tui.core.history.records import TOTAL, Figure, Kind, Record, Unit, Versions
from wan_tui.core.history.store import History

__all__ = ["TOTAL", "Figure", "History", "Kind", "Record", "Unit", "Versions"]
