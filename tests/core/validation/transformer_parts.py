"""Single transformer files: good ones by the real writers, of pocket and of true size, and bare GGUF for damages."""

import json
import math
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

from wan_tui.core.catalog import Model
from wan_tui.core.catalog.original_names import original_name, original_tensors
from wan_tui.core.catalog.tensors import expected_tensors

F32, Q8, BF16 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.BF16
Arrays = dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float16]]"]
Kind = Callable[[str, tuple[int, ...]], gguf.GGMLQuantizationType]


def arrays(model: Model, *, original: bool = True, prefix: str = "") -> Arrays:
    """The transformer of a pocket model, with values that do not matter."""
    shapes = original_tensors(model.transformer) if original else expected_tensors(model.transformer)
    return {prefix + name: np.full(shape, 0.5, np.float16) for name, shape in shapes.items()}


def matrices(kind: gguf.GGMLQuantizationType) -> Kind:
    """Linear weights in ``kind``, everything else in F32, as converters do."""
    return lambda name, shape: kind if len(shape) == 2 and name.endswith(".weight") else F32


IN_Q8 = matrices(Q8)


def write_safetensors(path: Path, tensors: Arrays) -> Path:
    save_file(tensors, path)
    return path


def write_gguf(path: Path, tensors: Arrays, kind: Kind = IN_Q8, architecture: str = "wan") -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_quantization_version(2)
    writer.add_array("general.tags", ["text-to-video", "wan"])
    for name, array in tensors.items():
        chosen = kind(name, array.shape)
        writer.add_tensor(name, gguf.quants.quantize(array.astype(np.float32), chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_true_size_gguf(path: Path, model: Model, kind: gguf.GGMLQuantizationType) -> Path:
    """Header by the real writer; of the weights only their place, so that the file takes no space."""
    writer = gguf.GGUFWriter(path, "wan")
    total = 0
    for name, shape in original_tensors(model.transformer).items():
        chosen = matrices(kind)(name, shape)
        block, block_bytes = gguf.GGML_QUANT_SIZES[chosen]
        size = math.prod(shape) // block * block_bytes
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size, raw_dtype=chosen)
        total += -(-size // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, -(-path.stat().st_size // 32) * 32 + total)
    return path


def write_true_size_safetensors(path: Path, model: Model, *, original: bool = True) -> Path:
    header, reached = {}, 0
    for known, shape in expected_tensors(model.transformer).items():
        size = 2 * math.prod(shape)
        name = original_name(known) if original else known
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [reached, reached + size]}
        reached += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + reached)
    return path


@dataclass(frozen=True, kw_only=True)
class Info:
    """One tensor record of a GGUF header; sizes as GGUF has them, the fastest first."""

    name: bytes
    sizes: Sequence[int]
    kind: int = 0
    begin: int = 0


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def entry(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


ARCHITECTURE = entry(b"general.architecture", 8, text(b"wan"))
ONE, TWO = Info(name=b"one", sizes=[8]), Info(name=b"two", sizes=[4, 2], begin=32)


def bare_gguf(
    infos: Sequence[Info] = (ONE, TWO),
    entries: Sequence[bytes] = (ARCHITECTURE,),
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    tensor_count: int | None = None,
    entry_count: int | None = None,
    data: int = 64,
) -> bytes:
    """A GGUF file, right or wrong, followed by ``data`` bytes of weights."""
    counts = (
        len(infos) if tensor_count is None else tensor_count,
        len(entries) if entry_count is None else entry_count,
    )
    header = magic + struct.pack("<IQQ", version, *counts) + b"".join(entries)
    for info in infos:
        header += (
            text(info.name) + struct.pack("<I", len(info.sizes)) + struct.pack(f"<{len(info.sizes)}Q", *info.sizes)
        )
        header += struct.pack("<IQ", info.kind, info.begin)
    return header + bytes(-len(header) % 32) + bytes(data)
