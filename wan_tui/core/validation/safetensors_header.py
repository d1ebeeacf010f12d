"""The header of a safetensors file, read with distrust: bounded bytes, every number checked, no weights touched."""

import json
import math
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

# The safetensors library refuses longer headers.
_FORMAT_LIMIT_BYTES = 100_000_000
# All headers of the largest Wan component are under 200 kB; more would only cost time.
HEADERS_LIMIT_BYTES = 1 << 20
_LARGEST = 2**63

_BITS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8},
    **{"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32},
    **{"I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
}


class Fault(Exception):
    """Something wrong with a file: the rule that it breaks, what was found, and how much was read to find it."""

    def __init__(self, code: str, message: str, read_bytes: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.read_bytes = read_bytes


@dataclass(frozen=True, slots=True)
class Tensor:
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """``start`` is where the weights begin in the file, ``size`` the size of the file."""

    tensors: dict[str, Tensor]
    start: int
    size: int


def show(value: object) -> str:
    """A value from a file in a message: short, printable, whatever it is."""
    try:
        text = ascii(value)
    except (RecursionError, ValueError):
        return "an unprintable value"
    return text if len(text) <= 80 else f"{text[:77]}..."


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object in ``data``. Raises ValueError for anything else, a key given twice included."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"holds a {type(value).__name__}, not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"has the key {show(twice)} twice")
    return found


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"holds {word}, which is not JSON")


def read_regular(path: Path, start: int, length: int) -> tuple[bytes, int]:
    """Up to ``length`` bytes of a regular file and its size. Raises OSError; never waits on a pipe or device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError("not a regular file")
        parts = []
        while length > 0 and (part := os.pread(descriptor, min(length, 1 << 20), start)):
            parts.append(part)
            start += len(part)
            length -= len(part)
        return b"".join(parts), facts.st_size
    finally:
        os.close(descriptor)


def read_header(path: Path, limit: int = HEADERS_LIMIT_BYTES) -> Header:
    """The header of ``path``, if not longer than ``limit``.

    Raises Fault with the rule that the file breaks, OSError if it cannot be read.
    """
    prefix, size = read_regular(path, 0, 8)
    if len(prefix) < 8:
        raise Fault("WAN412", f"{size} bytes present, a safetensors file has at least 8: the download stopped")
    length = int.from_bytes(prefix, "little")
    if length > _FORMAT_LIMIT_BYTES:
        raise Fault("WAN413", f"claims a header of {length} bytes; the format allows {_FORMAT_LIMIT_BYTES}")
    if 8 + length > size:
        raise Fault("WAN412", f"{8 + length} bytes expected for the header alone, {size} present")
    if length > limit:
        allowed = f"{limit} are left of the {HEADERS_LIMIT_BYTES} that the headers of a Wan component may take"
        raise Fault("WAN413", f"claims a header of {length} bytes; {allowed}")
    data, _ = read_regular(path, 8, length)
    try:
        return Header(_tensors(data, size - 8 - length), 8 + length, size)
    except Fault as fault:
        raise Fault(fault.code, fault.message, 8 + length) from None


def _tensors(data: bytes, available: int) -> dict[str, Tensor]:
    """The tensors that the header ``data`` names, which fill ``available`` bytes."""
    try:
        entries = parse_object(data)
    except ValueError as error:
        raise Fault("WAN413", f"the header is not readable: {clip(error)}") from None
    entries.pop("__metadata__", None)
    tensors, spans = {}, []
    for name, entry in entries.items():
        tensors[name], begin, end = _tensor(name, entry)
        spans.append((begin, end, name))
    _check_offsets(spans, available)
    return tensors


def clip(error: Exception) -> str:
    text = str(error).encode("ascii", "backslashreplace").decode("ascii")
    return text if len(text) <= 160 else f"{text[:157]}..."


def _tensor(name: str, entry: Any) -> tuple[Tensor, int, int]:
    if not isinstance(entry, dict):
        raise Fault("WAN413", f"the entry of {show(name)} is not an object")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise Fault("WAN413", f"{show(name)} has the unknown dtype {show(dtype)}")
    if not _whole_numbers(shape) or len(shape) > 16:
        raise Fault("WAN413", f"{show(name)} has the impossible shape {show(shape)}")
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise Fault("WAN413", f"{show(name)} has the impossible data_offsets {show(offsets)}")
    bits, (begin, end) = math.prod(shape) * _BITS[dtype], offsets
    if bits != (end - begin) * 8:
        needs = f"{bits // 8} bytes" if bits < _LARGEST else "more bytes than any file has"
        raise Fault("WAN414", f"{show(name)}, {dtype} {show(shape)}, needs {needs}; its place holds {end - begin}")
    return Tensor(dtype, tuple(shape)), begin, end


def _whole_numbers(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < _LARGEST for number in value)


def _check_offsets(spans: Iterable[tuple[int, int, str]], available: int) -> None:
    reached = 0
    for begin, end, name in sorted(spans):
        if begin != reached:
            kind = "a gap" if begin > reached else "an overlap"
            raise Fault("WAN414", f"{kind} before {show(name)}: it begins at {begin}, the one before ends at {reached}")
        reached = end
    if reached > available:
        raise Fault("WAN412", f"{reached} bytes of weights expected, {available} present")
    if reached < available:
        raise Fault("WAN414", f"{available - reached} bytes after the last tensor belong to none")
