"""``wan-tui check``: is a checkpoint what the catalogue says, judged without loading it."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TextIO

from wan_tui.cli.text import finding_text
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.checkpoints import find_checkpoint
from wan_tui.core.config import load_settings
from wan_tui.core.errors import WanTuiError
from wan_tui.core.units import format_bytes
from wan_tui.core.validation.checkpoint import check_checkpoint
from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.validation.hashes import check_hashes
from wan_tui.core.validation.recognise import guess_model
from wan_tui.core.validation.transformer_file import check_transformer_file, is_transformer_file
from wan_tui.core.words import Severity

_ERASE = "\r\033[K"


def check_model(
    model_id: str, path: Path | None, config: Path | None, *, as_json: bool, with_hashes: bool = False
) -> int:
    """Print the findings; exit status 1 when one is an error. Raises WanTuiError when there is no checkpoint."""
    model = load_catalogue().find(model_id)
    path = path or _usual_place(model, config)
    findings = check_transformer_file(path, model) if is_transformer_file(path) else check_checkpoint(path, model)
    if with_hashes:
        findings = _with_hashes(path, findings)
    failed = any(finding.severity is Severity.ERROR for finding in findings)
    guess = guess_model(path, load_catalogue().models) if failed else None
    other = guess if guess and guess.id != model.id else None
    if as_json:
        facts = [dataclasses.asdict(finding) for finding in findings]
        looks_like = {"looks_like": other.id} if other else {}
        print(
            json.dumps(
                {"model": model.id, "path": str(path), "valid": not failed, **looks_like, "findings": facts}, indent=2
            )
        )
    else:
        print(f"{model.id} in {path}: {'invalid' if failed else 'valid'}")
        for finding in findings:
            print(finding_text(finding, indent="  "))
        if other:
            print(f"  This looks like {other.id}: wan-tui check {other.id} {path}")
    return 1 if failed else 0


def _usual_place(model: Model, config: Path | None) -> Path:
    if model.weights == "pocket":
        raise WanTuiError(f"{model.id} is built in and has no checkpoint; name a folder to check one against it")
    models_directory = load_settings(config).paths.models
    folder = find_checkpoint(model, models_directory)
    if folder is None:
        raise WanTuiError(
            f"no checkpoint of {model.id} in {models_directory} or the Hugging Face cache: "
            f"hf download {model.repository}, or name its folder"
        )
    return folder


def _with_hashes(path: Path, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """``findings`` and those of the checksums, what both found only once."""
    bar = _HashingLine(sys.stderr)
    try:
        hashed = check_hashes(path, bar.tell)
    finally:
        bar.close()
    known = {(finding.code, finding.where) for finding in findings}
    return worst_first([*findings, *(found for found in hashed if (found.code, found.where) not in known)])


class _HashingLine:
    """How far hashing is, in a line that rewrites itself on a terminal; silent elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._last = ""

    def tell(self, done: int, total: int) -> None:
        line = f"hashing: {format_bytes(done)} of {format_bytes(total)}"
        if self._live and line != self._last:
            self._last = line
            self._stream.write(f"{_ERASE}{line}")
            self._stream.flush()

    def close(self) -> None:
        if self._last:
            self._stream.write(_ERASE)
            self._stream.flush()
