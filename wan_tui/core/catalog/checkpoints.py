"""Where the weights of a model lie on this host, if they do."""

import os
import re
from pathlib import Path

from wan_tui.core.catalog.models import Model
from wan_tui.core.catalog.prepared import prepared_name
from wan_tui.core.words import Preparation

INDEX = "model_index.json"


def find_checkpoint(model: Model, models_directory: Path, named: Path | None = None) -> Path | None:
    """The diffusers folder of ``model``, or None.

    Looked for in this order: the folder ``named`` in the configuration (and then nowhere else), the models
    directory (by repository name or model id), the Hugging Face hub cache, and prepared copies in the models
    directory whose original is gone. ``find_prepared`` tells whether a found one has a copy that loads faster.
    """
    if named is not None:
        candidates = [named]
    else:
        candidates = [models_directory / model.repository.split("/")[-1], models_directory / model.id]
        candidates += _hub_snapshots(model.repository)
        names = (model.repository.split("/")[-1], model.id)
        candidates += [models_directory / prepared_name(name, kind) for kind in Preparation for name in names]
    return next((folder for folder in candidates if (folder / INDEX).is_file()), None)


def found_revision(folder: Path) -> str | None:
    """The commit of the hub that a checkpoint ``folder`` was downloaded at; None for one that came otherwise."""
    if folder.parent.name == "snapshots":
        commit = folder.name
    else:
        record = folder / ".cache" / "huggingface" / "download" / f"{INDEX}.metadata"
        try:  # what huggingface_hub writes beside each file of a download into a folder: the commit first
            with record.open() as file:
                commit = file.readline(100).strip()
        except (OSError, UnicodeDecodeError):
            return None
    return commit if re.fullmatch("[0-9a-f]{40}", commit) else None


def _hub_snapshots(repository: str) -> list[Path]:
    """Cached revisions of ``repository``: the one that ``main`` points to, which is what diffusers loads, first."""
    cached = _hub_cache() / f"models--{repository.replace('/', '--')}"
    try:
        newest = [cached / "snapshots" / (cached / "refs" / "main").read_text().strip()]
    except (OSError, UnicodeDecodeError):
        newest = []
    return newest + sorted(cached.glob("snapshots/*"))


def _hub_cache() -> Path:
    """The cache directory by huggingface_hub's own rules."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(home).expanduser() / "hub"
