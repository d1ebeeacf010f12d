"""torch.compile of the transformer blocks: one compilation serves all of them, of both experts."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from wan_tui.core.words import LoadFailureReason
from wan_tui.worker.failures import LoadError, is_out_of_memory

BACKEND = "inductor"


def compile_blocks(experts: Iterable[Any]) -> None:
    """Have the blocks compiled when they first run. For every clip at once: sizes are not compiled in."""
    for expert in experts:
        expert.compile_repeated_blocks(backend=BACKEND, dynamic=True)


def compiled_seconds() -> float:
    """Seconds that this process has spent compiling so far, by torch's own account."""
    from torch._dynamo.utils import calculate_time_spent

    return float(calculate_time_spent().get("total_wall_time", 0.0))


def compile_now(forward: Callable[[], object]) -> None:
    """Run ``forward`` once so that it is compiled. Raises LoadError where torch.compile cannot work."""
    try:
        with torch.no_grad():
            forward()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        text = " ".join(str(error).split())[:300]
        raise LoadError(
            LoadFailureReason.ENVIRONMENT, f"torch.compile failed: {text}; use compile = false in the deployment"
        ) from error
