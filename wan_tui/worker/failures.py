"""Telling an out-of-memory from other failures."""

import errno
import re
from collections.abc import Iterator

import torch
from safetensors import SafetensorError

from wan_tui.core.words import LoadFailureReason

_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_WANTED = re.compile(r"[Tt]ried to allocate (\d+(?:\.\d+)?) (bytes|KiB|MiB|GiB)")
_HELD = re.compile(r"(\d+(?:\.\d+)?) (bytes|KiB|MiB|GiB) is allocated by PyTorch")


class LoadError(Exception):
    """Loading failed for a reason that the operator can read."""

    def __init__(self, reason: LoadFailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def needed_bytes(message: str) -> int | None:
    """What torch held and what it wanted more, from the message of its CUDA allocator; None from any other."""
    wanted, held = _WANTED.search(message), _HELD.search(message)
    if wanted is None or held is None:
        return None
    return sum(round(float(found[1]) * _UNITS[found[2]]) for found in (wanted, held))


def is_out_of_memory(error: BaseException) -> bool:
    """True for CUDA's and Python's own errors, the kernel's, and the plain RuntimeError of torch's CPU allocator.

    Also for what another error hides: diffusers calls a weight file that cannot be mapped an unreadable one.
    """
    return any(map(_says_out_of_memory, _chain(error)))


def _says_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, ImportError) and text.endswith("failed to map segment from shared object"):
        return True
    # safetensors raises an error of its own with the system's text.
    words = ("can't allocate memory", "out of memory", "Cannot allocate memory (os error")
    return isinstance(error, RuntimeError | SafetensorError) and any(word in text for word in words)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what was being handled when it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
