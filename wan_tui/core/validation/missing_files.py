"""How many files the checkpoint of each model lacks on this host, and the commit that it was downloaded at."""

from collections.abc import Collection, Sequence
from pathlib import Path

from wan_tui.core.catalog import Catalogue, Model
from wan_tui.core.catalog.checkpoints import INDEX, find_checkpoint, found_revision
from wan_tui.core.config.settings import DeploymentSettings, Settings
from wan_tui.core.validation.checkpoint_files import CheckpointFolder
from wan_tui.core.validation.checkpoint_weights import weight_files
from wan_tui.core.validation.findings import ModelFiles
from wan_tui.core.validation.safetensors_header import Fault

_SIDE_FILES = (INDEX, "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json")


def files_of_models(settings: Settings, catalogue: Catalogue) -> tuple[ModelFiles, ...]:
    """Of every model that a deployment needs or that has a checkpoint here; with several, the worst one counts.
    One that is built in needs no files.

    Reads the indexes of weights and the state of each file: call it in a thread.
    """
    used: dict[str, list[DeploymentSettings]] = {}
    for deployment in settings.deployments.values():
        used.setdefault(catalogue.find(deployment.model).id, []).append(deployment)
    found = (_files_of(model, used.get(model.id, []), settings.paths.models) for model in catalogue.models)
    return tuple(files for files in found if files is not None)


def _files_of(model: Model, deployments: Sequence[DeploymentSettings], directory: Path) -> ModelFiles | None:
    if model.weights != "checkpoint":
        return ModelFiles(model=model.id, missing=0) if deployments else None
    places = [
        (find_checkpoint(model, directory, one.checkpoint), {role for role, file in one.files.items() if file})
        for one in deployments
    ]
    if not places:
        folder = find_checkpoint(model, directory)
        if folder is None:
            return None
        places = [(folder, set())]
    revisions = (found_revision(folder) for folder, _ in places if folder is not None)
    return ModelFiles(
        model=model.id,
        missing=max(missing_files(folder, model, replaced) for folder, replaced in places),
        revision=next((revision for revision in revisions if revision), None),
    )


def missing_files(folder: Path | None, model: Model, replaced: Collection[str] = ()) -> int:
    """Files that ``model`` needs and ``folder`` lacks; without a folder, those that every checkpoint of it has.

    ``replaced`` are components that come from elsewhere. A file that is there and broken is not missing.
    """
    parts = {role: component for role, component in model.components if role not in replaced}
    named = [*_SIDE_FILES, *(f"{role}/config.json" for role in parts)]
    try:
        checkpoint = None if folder is None else CheckpointFolder.open(folder)
    except Fault:
        checkpoint = None
    if checkpoint is None:
        return len(named) + len(parts)
    for role, component in parts.items():
        named += weight_files(checkpoint, role, component)
    return sum(not _is_there(checkpoint, name) for name in named)


def _is_there(checkpoint: CheckpointFolder, name: str) -> bool:
    try:
        return checkpoint.file(name) is not None
    except Fault:
        return True
