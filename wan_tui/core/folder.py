"""What is in a folder of the engine's host, for a reader who looks for a picture or a file."""

import os
from dataclasses import dataclass
from pathlib import Path

from wan_tui.core.errors import UsageError

MAX_ENTRIES = 500
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Entry:
    """``size`` in bytes; None for a folder."""

    name: str
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Folders first, then pictures, each by name; hidden ones are left out. ``left_out`` more did not fit."""

    path: str
    entries: tuple[Entry, ...]
    left_out: int = 0


def read_folder(path: str) -> Folder:
    """Folders and pictures in ``path``; ``~`` and an empty path mean the home directory. Raises UsageError."""
    folder = Path(os.path.normpath(os.path.expanduser(path or "~")))
    if not folder.is_absolute():
        raise UsageError(f"folder {path}: must be an absolute path")
    found: list[Entry] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                try:
                    if entry.is_dir():
                        found.append(Entry(entry.name, None))
                    elif Path(entry.name).suffix.lower() in PICTURES and entry.is_file():
                        found.append(Entry(entry.name, entry.stat().st_size))
                except OSError:
                    continue  # gone meanwhile, or a link to nowhere
    except OSError as error:
        raise UsageError(f"folder {folder}: {error.strerror}") from None
    found.sort(key=lambda entry: (entry.size is not None, entry.name.casefold()))
    shown = found[:MAX_ENTRIES]
    return Folder(path=str(folder), entries=tuple(shown), left_out=len(found) - len(shown))
