"""What the screens remember from one start to the next: the last tab, filters, theme, commands typed.

Kept in ``ui.json`` in the state directory. Losing it loses nothing, so no trouble with it ever stops anything.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

COMMANDS_KEPT = 50


@dataclass(slots=True)
class Memory:
    """``file`` None remembers nothing beyond this run."""

    file: Path | None = None
    screen: str | None = None
    theme: str | None = None
    filters: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def set_filter(self, key: str, text: str) -> None:
        if text:
            self.filters[key] = text
        else:
            self.filters.pop(key, None)

    def add_command(self, line: str) -> None:
        if line in self.commands:
            self.commands.remove(line)
        self.commands.append(line)
        del self.commands[:-COMMANDS_KEPT]

    def save(self) -> None:
        """Write it whole or not at all."""
        if self.file is None:
            return
        import json
        import tempfile

        data = {name: value for name, value in asdict(self).items() if name != "file"}
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".ui.", dir=self.file.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(data, stream, ensure_ascii=False, indent=1)
            os.replace(name, self.file)


def recall(file: Path) -> Memory:
    """What was saved; whatever cannot be read or is not of the right kind is as if it had never been."""
    memory = Memory(file)
    if not file.exists():
        return memory
    import json  # the first frame of the first start does not wait for it

    try:
        data: Any = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return memory
    if not isinstance(data, dict):
        return memory
    for name in ("screen", "theme"):
        if isinstance(data.get(name), str):
            setattr(memory, name, data[name])
    if isinstance(filters := data.get("filters"), dict):
        memory.filters = {k: v for k, v in filters.items() if isinstance(k, str) and isinstance(v, str)}
    if isinstance(commands := data.get("commands"), list):
        memory.commands = [line for line in commands if isinstance(line, str)][-COMMANDS_KEPT:]
    return memory
