"""``wan-tui history``: finished loads and runs, estimates beside observations."""

import csv
import json
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from wan_tui.cli.text import columns
from wan_tui.core.config import load_settings
from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.core.history import Figure, Kind, Record, Unit
from wan_tui.core.history.exchange import figure_values
from wan_tui.core.history.reading import read_history
from wan_tui.core.units import MISSING, format_basis, format_change, format_seconds

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)

CSV_HEADER = (
    *("ended_at", "kind", "deployment", "model", "device", "plan", "first", "width", "height", "frames", "steps"),
    *("guidance", "driver", "torch", "diffusers", "basis", "runs", "counts"),
    *("stage", "unit", "modelled", "low", "expected", "high", "observed"),
)


def print_history(
    config: Path | None, *, deployment: str | None, since: str | None, as_json: bool, as_csv: bool, now: float
) -> int:
    """Print what happened, newest first. ``since`` is a date, a time or a duration before ``now`` (Unix seconds)."""
    if as_json and as_csv:
        raise UsageError("--json and --csv: choose one")
    after = parse_since(since, now) if since is not None else None
    settings = load_settings(config)
    path = settings.paths.history
    records = read_history(path, deployment=deployment, since=after)
    if deployment is not None and not records and deployment not in settings.deployments:
        known = {record.deployment for record in read_history(path)} | set(settings.deployments)
        if deployment not in known:
            raise unknown_name("deployment", deployment, known - {""})
    if as_json:
        print(json.dumps([as_plain(record) for record in records], indent=2, ensure_ascii=False))
    elif as_csv:
        _write_csv(records)
    elif records:
        print(history_text(records))
    else:
        print(f"nothing yet in {path}" if after is None and deployment is None else "nothing of that kind")
    return 0


def parse_since(text: str, now: float) -> float:
    """Unix seconds of ``2h``, ``3d``, a date or a date and time (local unless it says otherwise). Raises UsageError."""
    if duration := _DURATION.fullmatch(text.strip()):
        return max(now - float(duration[1]) * _SECONDS[duration[2].lower()], 0.0)
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"--since {text!r}: write a date (2026-01-31), a date and time (2026-01-31T14:00) "
            "or how long ago (90m, 2h, 3d)"
        ) from None


def history_text(records: Sequence[Record]) -> str:
    header = ["ENDED", "WHAT", "DEPLOYMENT", "MODEL", "DEVICE", "CLIP", "ESTIMATED", "TOOK", "ERROR", "BASIS"]
    return columns(header, [_cells(record) for record in records])


def as_plain(record: Record) -> dict[str, Any]:
    """A record as JSON: seconds and bytes, and every figure by stage."""
    clip, versions = record.clip, record.versions
    return {
        "ended_at": record.ended_at,
        "kind": record.kind,
        "deployment": record.deployment,
        "model": record.model,
        "device": record.device,
        "plan": record.plan_key,
        "first": record.first,
        "clip": None
        if clip is None
        else {
            "width": clip.width,
            "height": clip.height,
            "frames": clip.frames,
            "steps": clip.steps,
            "guidance": clip.guidance,
        },
        "versions": {"driver": versions.driver, "torch": versions.torch, "diffusers": versions.diffusers},
        "basis": record.basis,
        "runs": record.runs,
        "counts": record.counts,
        "figures": [figure_values(figure) for figure in record.figures],
    }


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


def _write_csv(records: Sequence[Record]) -> None:
    """One line per figure, so that stages can be counted with any tool."""
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(CSV_HEADER)
    for record in records:
        clip = record.clip
        start = (
            *(f"{record.ended_at:.3f}", record.kind, record.deployment, record.model, record.device, record.plan_key),
            int(record.first),
            *((clip.width, clip.height, clip.frames, clip.steps, clip.guidance) if clip else ("",) * 5),
            *(record.versions.driver, record.versions.torch, record.versions.diffusers),
            *(record.basis, record.runs, int(record.counts)),
        )
        for figure in record.figures:
            values = (figure.modelled, figure.low, figure.expected, figure.high, figure.observed)
            rows.writerow((*start, figure.stage, figure.unit, *(_number(value, figure.unit) for value in values)))


def _number(value: float | None, unit: Unit) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if unit is Unit.BYTES else f"{value:.6g}"
