"""How many bytes of tensors are alive, operation by operation, on any device (torch's meta device needs no memory)."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveStorages(TorchDispatchMode):  # type: ignore[misc]  # torch has no stubs here
    """Counts the storages that operations allocate inside the block, for as long as each is alive.

    ``trace`` holds the live bytes after every operation, while its inputs are still alive: the same operations in
    the same order for every shape, so traces of different shapes can be compared event by event.

    Storages are known by weak reference, never by address: a freed address is soon used again. What a kernel
    allocates and frees inside itself (cuDNN's workspace) is invisible.
    """

    def __init__(self, *modules: torch.nn.Module) -> None:
        """Weights and buffers of ``modules`` do not count."""
        super().__init__()
        self.live_bytes = 0
        self.trace: list[int] = []
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                self._know(tensor, 0)

    @property
    def peak_bytes(self) -> int:
        return max(self.trace)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._know(leaf, leaf.untyped_storage().nbytes())
        self.trace.append(self.live_bytes)
        return result

    def _know(self, tensor: torch.Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)  # torch keeps the Python object for as long as the storage lives
        if key in self._known:
            return

        def forget(_: object) -> None:
            del self._known[key]
            self.live_bytes -= size

        self._known[key] = weakref.ref(storage, forget)
        self.live_bytes += size


@contextmanager
def fused_attention() -> Iterator[None]:
    """Attention as CUDA's fused kernels do it: an output and one fp32 log-sum-exp per query and head.

    On the meta device torch would take the path that writes out the whole score matrix (terabytes for a long clip).
    Masks are already made by the caller; a fused kernel reads them and adds nothing of their size.
    """

    def attend(query: Any, key: Any, value: Any, *_: object, **__: object) -> Any:
        return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]

    with mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", attend):
        yield
