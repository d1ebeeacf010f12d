"""``wan-tui check``: is a checkpoint what the catalogue says, judged without loading it."""

import dataclasses
import json
from pathlib import Path

from wan_tui.cli.text import finding_text
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.checkpoints import find_checkpoint
from wan_tui.core.config import load_settings
from wan_tui.core.errors import WanTuiError
from wan_tui.core.validation.checkpoint import check_checkpoint
from wan_tui.core.words import Severity


def check_model(model_id: str, folder: Path | None, config: Path | None, *, as_json: bool) -> int:
    """Print the findings; exit status 1 when one is an error. Raises WanTuiError when there is no checkpoint."""
    model = load_catalogue().find(model_id)
    if folder is None and model.weights == "pocket":
        raise WanTuiError(f"{model.id} is built in and has no checkpoint; name a folder to check one against it")
    if folder is None:
        models_directory = load_settings(config).paths.models
        folder = find_checkpoint(model, models_directory)
        if folder is None:
            raise WanTuiError(
                f"no checkpoint of {model.id} in {models_directory} or the Hugging Face cache: "
                f"hf download {model.repository}, or name its folder"
            )
    findings = check_checkpoint(folder, model)
    failed = any(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        facts = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"model": model.id, "folder": str(folder), "valid": not failed, "findings": facts}, indent=2))
    else:
        print(f"{model.id} in {folder}: {'invalid' if failed else 'valid'}")
        for finding in findings:
            print(finding_text(finding, indent="  "))
    return 1 if failed else 0
