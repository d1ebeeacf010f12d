"""``wan-tui download``: a published checkpoint into the models directory, resumed and verified."""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wan_tui.cli.line import Line
from wan_tui.cli.subprocesses import run_worker
from wan_tui.cli.text import finding_text
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.config import load_settings
from wan_tui.core.errors import WanTuiError
from wan_tui.core.units import format_bytes, format_ratio, format_seconds
from wan_tui.core.validation.checkpoint import check_checkpoint
from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.validation.hashes import check_hashes
from wan_tui.core.words import Severity


def download_model(
    model_id: str,
    config: Path | None,
    *,
    revision: str | None = None,
    to: Path | None = None,
    as_json: bool = False,
) -> int:
    """Download or go on with a download, then verify it; status 1 when it is invalid.

    Raises WanTuiError when it cannot be downloaded.
    """
    model = load_catalogue().find(model_id)
    if model.weights == "pocket":
        raise WanTuiError(f"{model.id} is built in: there is nothing to download")
    folder = to or load_settings(config).paths.models / model.repository.split("/")[-1]
    job = {
        "repository": model.repository,
        "revision": revision or "main",
        "folder": str(folder),
        "patterns": _patterns(model),
    }
    line = Line(sys.stderr)
    try:
        found = run_worker("wan_tui.worker.fetch", job, _Progress(line).tell)
        if "failed" in found:
            raise WanTuiError(f"{model.id} not downloaded: {found['failed']}")
        findings = _verify(folder, model, line)
    finally:
        line.close()
    return _report(model, folder, found["fetched"], findings, as_json=as_json)


def _patterns(model: Model) -> list[str]:
    """What a pipeline reads, and nothing that runs code when it is loaded."""
    weights = [f"{role}/*.safetensors" for role, _ in model.components]
    return [
        "model_index.json",
        *weights,
        *(f"{role}/*.json" for role, _ in model.components),
        "scheduler/*.json",
        "tokenizer/*",
    ]


class _Progress:
    """Bytes, rate and time left in a line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._began: tuple[float, int] | None = None

    def tell(self, event: Mapping[str, Any]) -> None:
        total = event.get("total_bytes")
        if not total:
            self._line.tell(event["stage"], stage=event["stage"])
            return
        now, done = time.monotonic(), event["done_bytes"]
        began, before = self._began = self._began or (now, done)
        text = f"{event['stage']}: {format_bytes(done)} of {format_bytes(total)}, {format_ratio(done / total)}"
        if done > before and now > began:
            rate = (done - before) / (now - began)
            text += f", {format_bytes(int(rate))}/s, {format_seconds((total - done) / rate)} left"
        self._line.tell(text, stage=f"{event['stage']} {format_bytes(total)}")


def _verify(folder: Path, model: Model, line: Line) -> tuple[Finding, ...]:
    def tell(done: int, total: int) -> None:
        line.tell(f"verify: {format_bytes(done)} of {format_bytes(total)}", stage="verify")

    return worst_first([*check_checkpoint(folder, model), *check_hashes(folder, tell)])


def _report(
    model: Model, folder: Path, fetched: Mapping[str, Any], findings: tuple[Finding, ...], *, as_json: bool
) -> int:
    failed = any(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        facts = {"model": model.id, "path": str(folder), **fetched, "valid": not failed}
        print(json.dumps({**facts, "findings": [dataclasses.asdict(one) for one in findings]}, indent=2))
    else:
        state = "INVALID" if failed else "valid"
        print(f"{model.id} in {folder}: {format_bytes(fetched['bytes'])} of {model.repository}, {state}")
        for finding in findings:
            print(finding_text(finding, indent="  "))
    return 1 if failed else 0
