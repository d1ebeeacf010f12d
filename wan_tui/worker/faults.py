"""Faults on purpose, for tests and drills: ``WANTUI_FAULT`` makes a worker fail, or stand still, at a chosen place.

``out_of_memory:vae_decode`` raises the error of torch's CUDA allocator whenever that place is reached, with ``*N`` only
N times. ``fill:vae_decode`` takes what torch may still hand out of the GPU's memory, once, so that what comes next
really runs out of it. ``hold:write_output`` waits there once, for SIGUSR1. With ``@N`` it begins with the N-th time.
Several faults are separated by commas. A place is ``load`` (reached with each of its stages) or a phase (reached when
it begins, between any two steps, decoded or written frames, and when a video is about to get its name). Nobody but the
worker reads the variable, and without it nothing is different.
"""

import os
import re
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch

from wan_tui.core.paths import FAULT_VARIABLE as VARIABLE
from wan_tui.core.words import STAGES

LOAD = "load"
_FAULT = re.compile(r"(?P<kind>\w+):(?P<place>\w+)(?:@(?P<at>[1-9]\d{0,5}))?(?:\*(?P<times>[1-9]\d{0,5}))?")
# torch's allocator rounds to blocks of 512 bytes.
_LEAST_BLOCK_BYTES = 512
_LARGEST_GAP_BYTES = 64 << 20
PLACES = (LOAD, *(stage.value for stage in STAGES))


class Kind(StrEnum):
    OUT_OF_MEMORY = "out_of_memory"
    HOLD = "hold"
    FILL = "fill"


@dataclass(slots=True)
class _Fault:
    kind: Kind
    place: str
    passes: int  # how often the place may still be reached before
    left: float  # how often it still comes


class Faults:
    """``reach(place)`` does what was asked for there. ``tell`` takes what the operator should know about it.

    Raises ValueError for a variable that asks for something else.
    """

    def __init__(self, tell: Callable[[str], object], environment: Mapping[str, str] | None = None) -> None:
        text = (os.environ if environment is None else environment).get(VARIABLE, "")
        self._tell = tell
        self._filling: list[torch.Tensor] = []
        self._faults = [_parse(entry.strip()) for entry in text.split(",") if entry.strip()]

    def reach(self, place: str) -> None:
        for fault in self._faults:
            if fault.place != place or fault.left <= 0:
                continue
            if fault.passes > 0:
                fault.passes -= 1
            else:
                fault.left -= 1
                self._do(fault)

    def _do(self, fault: _Fault) -> None:
        match fault.kind:
            case Kind.HOLD:
                released = threading.Event()
                signal.signal(signal.SIGUSR1, lambda *_: released.set())
                self._tell(f"held in {fault.place} by {VARIABLE}: kill -USR1 {os.getpid()} lets it go on")
                released.wait()
            case Kind.FILL if torch.cuda.is_available():
                self._filling += fill_device()
                self._tell(f"filled the device in {fault.place} by {VARIABLE}")
            case Kind.FILL:
                self._tell(f"nothing to fill in {fault.place} by {VARIABLE}: no CUDA device")
            case Kind.OUT_OF_MEMORY:
                # Without any figures: a drill must not teach the memory model anything.
                raise torch.OutOfMemoryError(f"CUDA out of memory, made by {VARIABLE}")


def fill_device() -> list[torch.Tensor]:
    """Leave this process no memory of its GPU beyond what it holds, and hold the gaps in that: until they are dropped.

    A limit of torch's allocator and not the memory itself: others on the card must not run out, and what torch then
    says it held is what the model held, give or take the gaps.
    """
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / total)
    held, size = [], _LARGEST_GAP_BYTES
    while size >= _LEAST_BLOCK_BYTES:
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            size //= 2
    return held


def _parse(entry: str) -> _Fault:
    found = _FAULT.fullmatch(entry)
    if found is None or found["kind"] not in list(Kind) or found["place"] not in PLACES:
        must = f"{' or '.join(Kind)}, then : and one of {', '.join(PLACES)}, then @N and *N or nothing"
        raise ValueError(f"{VARIABLE}={entry!r}: must be {must}")
    kind = Kind(found["kind"])
    usually = float("inf") if kind is Kind.OUT_OF_MEMORY else 1.0
    return _Fault(kind, found["place"], int(found["at"] or 1) - 1, float(found["times"] or usually))
