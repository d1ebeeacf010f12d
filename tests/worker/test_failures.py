"""What counts as an out-of-memory, what it says about the memory that was needed, and faults that are asked for."""

import errno

import pytest
import torch
from safetensors import SafetensorError

from wan_tui.worker.failures import is_out_of_memory, needed_bytes
from wan_tui.worker.faults import Faults

GIB = 2**30
# torch 2.5 to 2.9, c10/cuda/CUDACachingAllocator.cpp
CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 23.65 GiB of which 1.31 GiB is "
    "free. Including non-PyTorch memory, this process has 22.33 GiB memory in use. Of the allocated memory 20.50 GiB "
    "is allocated by PyTorch, and 1.20 GiB is reserved by PyTorch but unallocated."
)


def hidden(inner: Exception, outer: Exception) -> Exception:
    """``outer``, raised while ``inner`` was handled."""
    try:
        try:
            raise inner
        except Exception:
            raise outer  # noqa: B904
    except Exception as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(CUDA),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 110592 bytes."),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        SafetensorError("Cannot allocate memory (os error 12)"),
        ImportError("stream.abi3.so: failed to map segment from shared object"),
        hidden(SafetensorError("Cannot allocate memory (os error 12)"), OSError("Unable to load weights")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_out_of_memory(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes cannot be multiplied"),
        OSError(errno.ENOSPC, "No space left on device"),
        ImportError("stream.abi3.so: failed to map segment from shared object: Operation not permitted"),
        hidden(ValueError("no"), OSError("Unable to load weights")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_torch_says_what_it_held_and_what_it_wanted() -> None:
    assert needed_bytes(CUDA) == 23 * GIB
    assert needed_bytes(CUDA.replace("2.50 GiB", "512.00 MiB")) == 21 * GIB
    assert needed_bytes("CUDA out of memory, made by WANTUI_FAULT") is None
    assert needed_bytes("can't allocate memory: you tried to allocate 110592 bytes") is None


def reached(fault: str, places: list[str]) -> list[bool]:
    """At which of ``places`` it ran out of memory."""
    faults = Faults(lambda text: None, {"WANTUI_FAULT": fault})
    found = []
    for place in places:
        try:
            faults.reach(place)
        except torch.OutOfMemoryError:
            found.append(True)
        else:
            found.append(False)
    return found


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("", [False] * 5),
        ("out_of_memory:vae_decode", [False, True, True, True, True]),
        ("out_of_memory:vae_decode*2", [False, True, True, False, False]),
        ("out_of_memory:vae_decode@3", [False, False, False, True, True]),
        ("out_of_memory:load*1, out_of_memory:vae_decode@2*1", [True, False, True, False, False]),
    ],
)
def test_a_fault_comes_where_and_as_often_as_was_asked_for(fault: str, expected: list[bool]) -> None:
    assert reached(fault, ["load", *["vae_decode"] * 4]) == expected


@pytest.mark.parametrize("fault", ["oom:load", "out_of_memory", "hold:decode", "hold:load*0", "hold:load@x", "hold:"])
def test_a_fault_that_there_is_not_is_refused_in_one_line(fault: str) -> None:
    with pytest.raises(
        ValueError, match=r"^WANTUI_FAULT='.*': must be out_of_memory or hold or fill, then : and one of load"
    ):
        reached(fault, [])


def test_nothing_is_filled_where_there_is_no_gpu_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said: list[str] = []
    Faults(said.append, {"WANTUI_FAULT": "fill:vae_decode"}).reach("vae_decode")
    assert said == ["nothing to fill in vae_decode by WANTUI_FAULT: no CUDA device"]
