"""Telling an out-of-memory from other failures."""

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """True for CUDA's and Python's own errors, and for the plain RuntimeError of torch's CPU allocator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
