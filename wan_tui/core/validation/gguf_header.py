"""The header of a GGUF file, read with distrust: bounded bytes, every number checked, no weights touched.

Format: magic, version, number of tensors, number of metadata entries, the metadata, one record a tensor, padding,
weights. Numbers are little-endian.
"""

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from wan_tui.core.validation.safetensors_header import Fault, Tensor, read_regular, show

# The header of the largest Wan transformer is under 100 kB; metadata may be longer, but not by much.
GGUF_LIMIT_BYTES = 4 << 20
_CHUNK_BYTES = 128 << 10
_TENSORS_LIMIT, _ENTRIES_LIMIT = 16_384, 4_096
_NAME_LIMIT_BYTES, _KEY_LIMIT_BYTES, _TEXT_LIMIT_BYTES = 512, 65_535, 1 << 20
_DIMENSIONS_LIMIT = 8
_LARGEST_ALIGNMENT = 1 << 16
_VERSIONS = (2, 3)
_LARGEST = 2**63

# ggml's types by number: name, values in a block, bytes of a block.
TYPES = MappingProxyType(
    {
        **{0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 28: ("F64", 1, 8)},
        **{24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8)},
        **{2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24)},
        **{8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 20: ("IQ4_NL", 32, 18), 39: ("MXFP4", 32, 17)},
        **{10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176)},
        **{14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74)},
        **{18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82)},
        **{23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66)},
        **{40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18)},
    }
)

# Metadata types by number: bytes of a value. 8 is text, 9 an array.
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UINT32, _TEXT, _ARRAY = 4, 8, 9


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """``tensors`` have their shapes as torch writes them, the slowest dimension first.

    ``start`` is where the weights begin in the file, ``size`` the size of the file.
    """

    tensors: dict[str, Tensor]
    architecture: str | None
    start: int
    size: int


def read_gguf_header(path: Path) -> GgufHeader:
    """The header of ``path``, of which no more than ``GGUF_LIMIT_BYTES`` are read.

    Raises Fault with the rule that the file breaks, OSError if it cannot be read.
    """
    cursor = _Cursor(path)
    if (magic := cursor.take(4)) != b"GGUF":
        raise Fault("WAN413", f"begins with {show(magic)}, not with GGUF")
    version = cursor.number(4)
    if version not in _VERSIONS:
        turned = " (big-endian)" if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS else ""
        raise Fault("WAN423", f"is of version {version}{turned}; 2 and 3 are known")
    tensor_count, entry_count = cursor.number(8), cursor.number(8)
    for count, limit, what in (
        (tensor_count, _TENSORS_LIMIT, "tensors"),
        (entry_count, _ENTRIES_LIMIT, "metadata entries"),
    ):
        if count > limit:
            raise Fault("WAN413", f"claims {count} {what}; more than {limit} is no Wan transformer")
    alignment, architecture = _metadata(cursor, entry_count)
    tensors: dict[str, Tensor] = {}
    spans: list[tuple[int, int, str]] = []
    for _ in range(tensor_count):
        name, tensor, begin, length = _tensor(cursor)
        if name in tensors:
            raise Fault("WAN413", f"names the tensor {show(name)} twice")
        if begin % alignment:
            raise Fault("WAN414", f"{show(name)} begins at {begin}, no multiple of the alignment {alignment}")
        tensors[name] = tensor
        spans.append((begin, begin + length, name))
    start = _aligned(cursor.position, alignment)
    _check_offsets(spans, max(cursor.size - start, 0), alignment)
    return GgufHeader(tensors, architecture, start, cursor.size)


class _Cursor:
    """Reads a file forwards, in chunks, up to the limit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data, self.size = read_regular(path, 0, _CHUNK_BYTES)
        self.position = 0

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > self.size:
            raise Fault("WAN412", f"ends in its header: {end} bytes expected at least, {self.size} present")
        if end > GGUF_LIMIT_BYTES:
            raise Fault("WAN413", f"has a header of more than {GGUF_LIMIT_BYTES} bytes")
        if end > len(self._data):
            more, _ = read_regular(self._path, len(self._data), max(_CHUNK_BYTES, end - len(self._data)))
            self._data += more
            if end > len(self._data):
                raise Fault("WAN412", "became shorter while it was read")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def text(self, limit: int, what: str) -> str:
        if (length := self.number(8)) > limit:
            raise Fault("WAN413", f"claims {what} of {length} bytes; {limit} are allowed")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise Fault("WAN413", f"{what} is not UTF-8") from None


def _metadata(cursor: _Cursor, count: int) -> tuple[int, str | None]:
    """The alignment of the weights, and the architecture when it is named; the rest is only stepped over."""
    alignment, architecture = 32, None
    seen: set[str] = set()
    for _ in range(count):
        key = cursor.text(_KEY_LIMIT_BYTES, "a metadata key")
        if key in seen:
            raise Fault("WAN413", f"has the metadata key {show(key)} twice")
        seen.add(key)
        kind = cursor.number(4)
        if key == "general.alignment":
            alignment = cursor.number(4) if kind == _UINT32 else 0
            if not 0 < alignment <= _LARGEST_ALIGNMENT or alignment & (alignment - 1):
                raise Fault("WAN413", f"general.alignment is no power of two up to {_LARGEST_ALIGNMENT}")
        elif key == "general.architecture":
            if kind != _TEXT:
                raise Fault("WAN413", "general.architecture is not text")
            architecture = cursor.text(_TEXT_LIMIT_BYTES, key)
        else:
            _step_over(cursor, key, kind)
    return alignment, architecture


def _step_over(cursor: _Cursor, key: str, kind: int) -> None:
    count = 1
    if kind == _ARRAY:
        kind, count = cursor.number(4), cursor.number(8)
    if kind in _VALUE_BYTES:
        cursor.take(count * _VALUE_BYTES[kind])
    elif kind == _TEXT:
        # Each takes its 8 bytes of length from what the header may have, so a huge count ends soon.
        for _ in range(count):
            length = cursor.number(8)
            cursor.take(length)
    else:
        raise Fault("WAN413", f"the metadata value of {show(key)} is of the unknown type {kind}")


def _tensor(cursor: _Cursor) -> tuple[str, Tensor, int, int]:
    """Name, tensor, begin and length in bytes."""
    name = cursor.text(_NAME_LIMIT_BYTES, "a tensor name")
    dimensions = cursor.number(4)
    if not 0 < dimensions <= _DIMENSIONS_LIMIT:
        raise Fault("WAN413", f"{show(name)} claims {dimensions} dimensions; 1 to {_DIMENSIONS_LIMIT} are possible")
    sizes = struct.unpack(f"<{dimensions}Q", cursor.take(8 * dimensions))
    kind, begin = cursor.number(4), cursor.number(8)
    if kind not in TYPES:
        raise Fault("WAN413", f"{show(name)} is of the unknown ggml type {kind}")
    dtype, block, block_bytes = TYPES[kind]
    values = math.prod(sizes)
    if not 0 < values < _LARGEST or begin >= _LARGEST:
        raise Fault("WAN413", f"{show(name)} has the impossible shape {show(list(sizes))} or place {begin}")
    if sizes[0] % block:
        raise Fault("WAN414", f"{show(name)}, {dtype}, has rows of {sizes[0]} values, no whole blocks of {block}")
    return name, Tensor(dtype, sizes[::-1]), begin, values // block * block_bytes


def _check_offsets(spans: Iterable[tuple[int, int, str]], available: int, alignment: int) -> None:
    reached = end = 0
    for begin, end, name in sorted(spans):
        if begin != reached:
            kind = "a gap" if begin > reached else "an overlap"
            raise Fault("WAN414", f"{kind} before {show(name)}: it begins at {begin}, {reached} was due")
        reached = _aligned(end, alignment)
    if end > available:
        raise Fault("WAN412", f"{end} bytes of weights expected, {available} present")
    # The padding after the last tensor is written by some tools and left out by others.
    if reached < available:
        raise Fault("WAN414", f"{available - reached} bytes after the last tensor belong to none")


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
