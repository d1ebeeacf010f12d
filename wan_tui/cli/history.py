"""``wan-tui history``: finished loads and runs, estimates beside observations."""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from wan_tui.cli.text import columns
from wan_tui.core.config import load_settings
from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.core.history import Figure, Kind, Record
from wan_tui.core.history.reading import read_history
from wan_tui.core.history.tables import csv_text, json_text
from wan_tui.core.runtime.past import parse_since
from wan_tui.core.units import MISSING, format_basis, format_change, format_seconds


def print_history(
    config: Path | None, *, deployment: str | None, since: str | None, as_json: bool, as_csv: bool, now: float
) -> int:
    """Print what happened, newest first. ``since`` is a date, a time or a duration before ``now`` (Unix seconds)."""
    if as_json and as_csv:
        raise UsageError("--json and --csv: choose one")
    after = _after(since, now) if since is not None else None
    settings = load_settings(config)
    path = settings.paths.history
    records = read_history(path, deployment=deployment, since=after)
    if deployment is not None and not records and deployment not in settings.deployments:
        known = {record.deployment for record in read_history(path)} | set(settings.deployments)
        if deployment not in known:
            raise unknown_name("deployment", deployment, known - {""})
    if as_json:
        sys.stdout.write(json_text(records))
    elif as_csv:
        sys.stdout.write(csv_text(records))
    elif records:
        print(history_text(records))
    else:
        print(f"nothing yet in {path}" if after is None and deployment is None else "nothing of that kind")
    return 0


def _after(since: str, now: float) -> float:
    try:
        return parse_since(since, now)
    except UsageError as error:
        raise UsageError(f"--{error}") from None


def history_text(records: Sequence[Record]) -> str:
    header = ["ENDED", "WHAT", "DEPLOYMENT", "MODEL", "DEVICE", "CLIP", "ESTIMATED", "TOOK", "ERROR", "BASIS"]
    return columns(header, [_cells(record) for record in records])


def _cells(record: Record) -> list[str]:
    total, clip = record.total, record.clip
    what = f"{'first ' if record.first and record.kind is Kind.RUN else ''}{record.kind}"
    shape = MISSING if clip is None else f"{clip.width}x{clip.height}x{clip.frames}, {clip.steps} steps"
    return [
        datetime.fromtimestamp(record.ended_at).isoformat(sep=" ", timespec="seconds"),
        what,
        record.deployment or MISSING,
        record.model,
        record.device,
        shape,
        _estimated(total),
        format_seconds(total.observed if total else None),
        format_change(total.observed, total.expected) if total else MISSING,
        format_basis(record.basis, record.runs) if record.basis else MISSING,
    ]


def _estimated(total: Figure | None) -> str:
    if total is None or total.expected is None:
        return MISSING
    if total.shown is None:
        return format_seconds(total.expected)
    between = f"{format_seconds(total.shown.low)} - {format_seconds(total.shown.high)}"
    return f"{format_seconds(total.expected)} ({between})"
