"""One safetensors file written again with other number formats, in pieces of bounded size."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from wan_tui.core.validation.safetensors_header import read_header
from wan_tui.worker.formats import FP8, NAMES, TORCH

PIECE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """SHA-256 of the file that was written, and of the one that was read for it."""

    sha256: str
    source_sha256: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A tensor in the source (offsets from the begin of the weights) and the format that it gets."""

    name: str
    shape: tuple[int, ...]
    begin: int
    end: int
    source: str
    target: str

    @property
    def size(self) -> int:
        values = (self.end - self.begin) // TORCH[self.source].itemsize if self.source in TORCH else 0
        return values * TORCH[self.target].itemsize if self.source != self.target else self.end - self.begin


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What is to be done with the file ``path``; its tensors keep their order."""

    path: Path
    signature: dict[str, int]
    start: int
    places: tuple[_Place, ...]

    @classmethod
    def read(cls, path: Path) -> "Rewriting":
        """The file as it is. Raises Fault for a header that is not sound, OSError."""
        header = read_header(path)
        with path.open("rb") as file:
            entries: dict[str, Any] = json.loads(file.read(header.start)[8:])
        entries.pop("__metadata__", None)
        places = [
            _Place(name, tuple(entry["shape"]), begin, end, entry["dtype"], entry["dtype"])
            for name, entry in entries.items()
            for begin, end in (entry["data_offsets"],)
        ]
        places.sort(key=lambda place: place.begin)
        return cls(path, cls.signature_of(path), header.start, tuple(places))

    @staticmethod
    def signature_of(path: Path) -> dict[str, int]:
        facts = path.stat()
        return {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns}

    @property
    def names(self) -> list[str]:
        return [place.name for place in self.places]

    def into(self, formats: Mapping[str, torch.dtype]) -> "Rewriting":
        """The same with a new format for every tensor that has one in ``formats``."""
        places = tuple(
            replace(place, target=NAMES[formats[place.name]])
            if place.name in formats and place.source in TORCH
            else place
            for place in self.places
        )
        return replace(self, places=places)

    @property
    def size(self) -> int:
        """Bytes of the file that will be written."""
        return len(self._header()) + sum(place.size for place in self.places)

    def write(self, target: Path, tell: Callable[[int], None]) -> Written:
        """Write ``target``: whole and on disk, or not under its name. ``tell`` gets the bytes written so far."""
        beside = target.with_name(f"{target.name}.new")
        header, places = self._header(), dict(self._placed())
        read = hashlib.sha256()
        written = len(header)
        with self.path.open("rb") as source, beside.open("wb") as file:
            read.update(source.read(self.start))
            file.write(header)
            for place in self.places:
                file.seek(len(header) + places[place])
                left = place.end - place.begin
                while left:
                    piece = bytearray(min(left, PIECE_BYTES))
                    if source.readinto(piece) != len(piece):
                        raise OSError(f"{self.path} ended while it was read")
                    read.update(piece)
                    data = piece if place.source == place.target else _cast(piece, place.source, place.target)
                    written += file.write(data)
                    left -= len(piece)
                    tell(written)
            file.flush()
            os.fsync(file.fileno())
        made = sha256_of(beside)
        os.replace(beside, target)
        return Written(made, read.hexdigest())

    def _placed(self) -> Iterator[tuple[_Place, int]]:
        """Where each tensor begins among the weights that are written: wide formats first, so that all are aligned."""
        reached = 0
        for place in sorted(self.places, key=lambda place: -_width(place.target)):
            yield place, reached
            reached += place.size

    def _header(self) -> bytes:
        """Length and header, padded as the library does so that the weights are aligned."""
        entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        for place, begin in self._placed():
            span = [begin, begin + place.size]
            entries[place.name] = {"dtype": place.target, "shape": list(place.shape), "data_offsets": span}
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


def _width(dtype: str) -> int:
    return TORCH[dtype].itemsize if dtype in TORCH else 8


def _cast(piece: bytearray, source: str, target: str) -> memoryview:
    values = torch.frombuffer(piece, dtype=TORCH[source])
    if TORCH[target] is FP8:
        # As loading does it: first the format that is computed in, then the one that is stored.
        values = values.to(torch.bfloat16)
    return memoryview(values.to(TORCH[target]).contiguous().view(torch.uint8).numpy()).cast("B")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
