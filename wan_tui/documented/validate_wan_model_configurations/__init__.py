"""The documented name of ``wan-tui validate``, as a script and as a module of its own."""

import sys
from collections.abc import Sequence

from wan_tui.cli.main import main as wan_tui


def main(arguments: Sequence[str] | None = None) -> int:
    """``wan-tui validate`` with these arguments; returns its exit status."""
    return wan_tui(["validate", *(sys.argv[1:] if arguments is None else arguments)])
