"""Records as CSV and JSON, for other tools. Prompts stay at home."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from wan_tui.core.history.exchange import figure_values
from wan_tui.core.history.records import Record, Unit

CSV_HEADER = (
    *("ended_at", "kind", "deployment", "model", "device", "plan", "first", "width", "height", "frames", "steps"),
    *("guidance", "driver", "torch", "diffusers", "basis", "runs", "counts"),
    *("stage", "unit", "modelled", "low", "expected", "high", "observed"),
)


def json_text(records: Sequence[Record]) -> str:
    """A list of records, newest first as given."""
    return json.dumps([as_plain(record) for record in records], indent=2, ensure_ascii=False) + "\n"


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


def csv_text(records: Sequence[Record]) -> str:
    """One line per figure, so that stages can be counted with any tool."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
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
    return text.getvalue()


def _number(value: float | None, unit: Unit) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if unit is Unit.BYTES else f"{value:.6g}"
