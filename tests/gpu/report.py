"""What a check found, one JSON object a line: appended to whole or not at all, so that a cut session loses nothing."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from wan_tui.core import atomic

NO_DEVICE = "none"


class Part(StrEnum):
    """What is checked, in the order of its value for the minutes that it takes."""

    PROBE = "probe"
    OPTIONS = "options"
    UNLOAD = "unload"
    OUT_OF_MEMORY = "out_of_memory"
    GRID = "grid"


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One finding. ``key`` names it within its part and device; ``detail`` is what was measured, units in names."""

    part: Part
    key: str
    device: str
    outcome: Outcome
    says: str = ""
    seconds: float = 0.0
    detail: dict[str, Any] = field(default_factory=dict)
    at: float = field(default_factory=time.time)

    @property
    def identity(self) -> tuple[Part, str, str]:
        return self.part, self.device, self.key


class Report:
    """The records of a file. A later one of the same identity stands in the place of the earlier."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._records = {record.identity: record for record in read(file)}

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(self._records.values())

    def has(self, part: Part, device: str, key: str) -> bool:
        """Whether it is known: what was skipped is tried again, for a library may have come."""
        found = self._records.get((part, device, key))
        return found is not None and found.outcome is not Outcome.SKIPPED

    def add(self, record: Record) -> None:
        """Keep ``record``; the file has it when this returns. What was skipped for want of a device is dropped then."""
        if record.device != NO_DEVICE:
            self._records = {key: one for key, one in self._records.items() if one.device != NO_DEVICE}
        self._records[record.identity] = record
        lines = [json.dumps(asdict(one), ensure_ascii=False) for one in self._records.values()]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(self._file, ("\n".join(lines) + "\n").encode())


def read(file: Path) -> Iterator[Record]:
    """Records of ``file``; none without one. Raises ValueError naming the line that is no record."""
    if not file.exists():
        return
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        try:
            said = json.loads(line)
            yield Record(**{**said, "part": Part(said["part"]), "outcome": Outcome(said["outcome"])})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}:{number}: no record of a check ({error}): choose another --report") from None
