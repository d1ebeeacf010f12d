"""Prepared checkpoints: copies of a checkpoint in the number format of a plan, ready to be mapped into memory.

They lie beside the checkpoint, or in the models directory when that is in the hub cache, under its name and two dashes
and the format: ``Wan2.2-T2V-A14B-Diffusers--bf16``. ``prepared.json`` in them says what they were made from.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wan_tui.core.catalog.models import Model
from wan_tui.core.words import Preparation

RECORD = "prepared.json"
# Grows when the same checkpoint would be written otherwise.
FORMAT = 1
_RECORD_LIMIT_BYTES = 4 << 20


def prepared_folder(model: Model, checkpoint: Path, models_directory: Path, precision: Preparation) -> Path:
    """Where the prepared copy of ``checkpoint`` belongs."""
    if checkpoint.parent.name == "snapshots":
        return models_directory / prepared_name(model.repository.split("/")[-1], precision)
    return checkpoint.with_name(prepared_name(checkpoint.name, precision))


def prepared_name(name: str, precision: Preparation) -> str:
    return f"{name}--{precision}"


def find_prepared(
    model: Model, checkpoint: Path, models_directory: Path, precisions: Iterable[Preparation]
) -> Path | None:
    """The first complete copy of ``checkpoint`` in one of ``precisions`` that is still as the checkpoint is."""
    folders = (prepared_folder(model, checkpoint, models_directory, precision) for precision in precisions)
    return next((folder for folder in folders if is_current(folder, checkpoint)), None)


def is_current(folder: Path, checkpoint: Path) -> bool:
    """Whether ``folder`` is a prepared copy, made from the very files that ``checkpoint`` has now."""
    record = read_record(folder)
    if record is None:
        return False
    try:
        return all(_unchanged(checkpoint / entry["name"], entry) for entry in record["source"]["files"])
    except (KeyError, TypeError):
        return False


def read_record(folder: Path) -> dict[str, Any] | None:
    """What ``prepared.json`` in ``folder`` says; None when it is no prepared checkpoint of today's form."""
    try:
        with (folder / RECORD).open("rb") as file:
            record = json.loads(file.read(_RECORD_LIMIT_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def _unchanged(file: Path, entry: dict[str, Any]) -> bool:
    try:
        facts = file.stat()
    except OSError:
        return False
    return bool(facts.st_size == entry["size"] and facts.st_mtime_ns == entry["mtime_ns"])
