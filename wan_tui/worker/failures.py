"""Telling an out-of-memory from other failures."""

import torch

from wan_tui.core.words import LoadFailureReason


class LoadError(Exception):
    """Loading failed for a reason that the operator can read."""

    def __init__(self, reason: LoadFailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def is_out_of_memory(error: BaseException) -> bool:
    """True for CUDA's and Python's own errors, and for the plain RuntimeError of torch's CPU allocator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
