"""A checkpoint folder whose files are opened only if they lie inside it."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_tui.core.validation.safetensors_header import Fault, clip, parse_object, read_regular, show

# An index takes about 100 kB, a tokenizer's configuration 60 kB; more would only cost time.
_JSON_LIMIT_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """``boundary`` is what links may not leave: the folder, or in the Hugging Face cache the whole repository."""

    path: Path
    boundary: Path

    @classmethod
    def open(cls, path: Path) -> "CheckpointFolder":
        """Raises Fault when ``path`` is not a folder."""
        try:
            real = path.resolve(strict=True)
            if not real.is_dir():
                raise Fault("WAN401", "not a folder")
        except (OSError, RuntimeError, ValueError) as error:
            raise Fault("WAN401", f"no such folder: {clip(error)}") from None
        snapshots = real.parent
        in_cache = snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--")
        return cls(real, snapshots.parent if in_cache else real)

    def file(self, name: str) -> Path | None:
        """The real path of ``name``, or None when there is none. Raises Fault when it lies outside."""
        path = self.path / name
        try:
            real = path.resolve()
            if not real.is_relative_to(self.boundary):
                raise Fault("WAN409", f"leads out of the checkpoint, to {show(str(real))}")
            mode = real.stat().st_mode
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, ValueError) as error:
            raise Fault("WAN402", f"cannot be read: {clip(error)}") from None
        if not stat.S_ISREG(mode):
            raise Fault("WAN402", "not a regular file")
        return real

    def json(self, name: str) -> dict[str, Any] | None:
        """The object in a JSON file, or None when there is no file. Raises Fault."""
        path = self.file(name)
        if path is None:
            return None
        try:
            data, size = read_regular(path, 0, _JSON_LIMIT_BYTES)
            if size > _JSON_LIMIT_BYTES:
                raise Fault("WAN402", f"{size} bytes, more than {_JSON_LIMIT_BYTES}")
            return parse_object(data)
        except (OSError, ValueError) as error:
            raise Fault("WAN402", f"not readable: {clip(error)}") from None

    def names(self, subfolder: str) -> list[str]:
        """The first thousand file names in ``subfolder``; none when it leads outside."""
        folder = self.path / subfolder
        try:
            if not folder.resolve().is_relative_to(self.boundary):
                return []
            entries = folder.iterdir()
            return sorted(entry.name for entry, _ in zip(entries, range(1000), strict=False))
        except (OSError, RuntimeError, ValueError):
            return []
