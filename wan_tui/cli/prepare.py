"""``wan-tui prepare``: a checkpoint once more, in the number format of a plan, so that loading maps it."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wan_tui.cli.line import Line
from wan_tui.cli.subprocesses import run_worker
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.checkpoints import find_checkpoint
from wan_tui.core.catalog.prepared import RECORD, is_current, prepared_folder, read_record
from wan_tui.core.config import load_settings
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.units import format_bytes, format_ratio
from wan_tui.core.validation.checkpoint import check_checkpoint
from wan_tui.core.words import Preparation, Severity

# Formats that are made while loading, and why no copy of them is written.
_MADE_WHILE_LOADING = {
    name: f"{name} weights are made while loading; a bf16 copy halves what has to be read for it"
    for name in ("int8", "int4", "nf4")
}


def prepare_model(
    model_id: str,
    precision: str,
    config: Path | None,
    *,
    source: Path | None = None,
    output: Path | None = None,
    as_json: bool = False,
) -> int:
    """Write the copy, or find that it is there already; status 1, and why, when it cannot be made."""
    model = load_catalogue().find(model_id)
    kind = _precision(precision)
    models = load_settings(config).paths.models
    checkpoint = source or _usual_place(model, models)
    folder = output or prepared_folder(model, checkpoint, models, kind)
    if folder.exists():
        return _already_there(model, checkpoint, folder, kind, as_json=as_json)
    job = {"model": model.id, "precision": kind.value, "source": str(checkpoint), "output": str(folder)}
    line = Line(sys.stderr)

    def tell(event: Mapping[str, Any]) -> None:
        total = event.get("total_bytes")
        if total:
            done = event["done_bytes"]
            bytes_text = f"{format_bytes(done)} of {format_bytes(total)}"
            line.tell(f"{event['stage']}: {bytes_text}, {format_ratio(done / total)}", stage=event["stage"])
        else:
            line.tell(event["stage"], stage=event["stage"])

    try:
        found = run_worker("wan_tui.worker.prepare", job, tell)
    finally:
        line.close()
    if "failed" in found:
        raise WanTuiError(f"{model.id} not prepared: {found['failed']}")
    return _report(model, folder, kind, int(found["prepared"]["bytes"]), made=True, as_json=as_json)


def _precision(name: str) -> Preparation:
    wanted = name.casefold()
    if wanted in _MADE_WHILE_LOADING:
        raise UsageError(_MADE_WHILE_LOADING[wanted])
    if wanted not in list(Preparation):
        raise unknown_name("precision", name, list(Preparation))
    return Preparation(wanted)


def _usual_place(model: Model, models: Path) -> Path:
    if model.weights == "pocket":
        raise WanTuiError(f"{model.id} is built in and small; name a folder with --source to prepare a copy of it")
    folder = find_checkpoint(model, models)
    if folder is None:
        fix = f"wan-tui download {model.id}, or name its folder with --source"
        raise WanTuiError(f"no checkpoint of {model.id} in {models} or the Hugging Face cache: {fix}")
    if (folder / RECORD).exists():
        raise WanTuiError(f"of {model.id} there is only the prepared copy {folder}; the original is needed")
    return folder


def _already_there(model: Model, checkpoint: Path, folder: Path, kind: Preparation, *, as_json: bool) -> int:
    record = read_record(folder)
    if record is None:
        raise WanTuiError(f"{folder} exists and is no prepared checkpoint: choose another place with --output")
    if record.get("precision") != kind or not is_current(folder, checkpoint):
        raise WanTuiError(f"{folder} was made from other files than {checkpoint} has now: remove it to prepare again")
    errors = [one for one in check_checkpoint(folder, model) if one.severity is Severity.ERROR]
    if errors:
        raise WanTuiError(f"{folder} is damaged ({errors[0].code} {errors[0].where}): remove it to prepare again")
    return _report(model, folder, kind, sum(entry["size"] for entry in record["files"]), made=False, as_json=as_json)


def _report(model: Model, folder: Path, kind: Preparation, size: int, *, made: bool, as_json: bool) -> int:
    if as_json:
        facts = {"model": model.id, "precision": kind.value, "path": str(folder), "bytes": size, "made": made}
        findings = [dataclasses.asdict(one) for one in check_checkpoint(folder, model)]
        print(json.dumps({**facts, "findings": findings}, indent=2))
    else:
        what = "prepared" if made else "is prepared already"
        print(
            f"{model.id} {what}: {folder} ({kind}, {format_bytes(size)}); deployments that compute in it load from it"
        )
    return 0
