"""How much LoRA files add to a transformer, judged from their headers alone."""

import functools
import math
from collections.abc import Iterable
from pathlib import Path

from wan_tui.core.config.settings import LoraSettings
from wan_tui.core.validation.safetensors_header import Fault, read_header
from wan_tui.core.words import LoraExpert


def lora_parameters(loras: Iterable[LoraSettings]) -> int:
    """Parameters that ``loras`` add to the transformer which gets most. A file that cannot be read counts 0."""
    high = low = 0
    for lora in loras:
        try:
            facts = lora.path.stat()
        except OSError:
            continue
        added = _parameters(lora.path, facts.st_size, facts.st_mtime_ns)
        high += added if lora.expert is not LoraExpert.LOW_NOISE else 0
        low += added if lora.expert is not LoraExpert.HIGH_NOISE else 0
    return max(high, low)


@functools.lru_cache(maxsize=64)
def _parameters(file: Path, _size: int, _mtime_ns: int) -> int:
    try:
        tensors = read_header(file).tensors.values()
    except (Fault, OSError, ValueError):
        return 0
    # ``alpha`` is a scalar beside each pair of matrices; it becomes a factor.
    return sum(math.prod(tensor.shape) for tensor in tensors if len(tensor.shape) > 1)
