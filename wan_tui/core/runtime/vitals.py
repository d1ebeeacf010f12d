"""Signs of life of a deployment."""

import time
from dataclasses import dataclass, field

from wan_tui.core.runtime.protocol import Memory
from wan_tui.core.words import RestartReason

# More than this after a job, or a tenth of what there was, is not small change: an allocator keeps some of it.
DEVICE_ALLOWANCE_BYTES, HOST_ALLOWANCE_BYTES = 256 << 20, 1 << 30


@dataclass(slots=True)
class Vitals:
    """Signs of life of a deployment, in seconds of the monotonic clock.

    ``held_bytes`` is the memory of its worker now, ``held_idle_bytes`` before the last job; ``ran_out_at`` is set while
    memory is owed after an out-of-memory.
    """

    heard_at: float = field(default_factory=lambda: time.monotonic())
    progress_at: float = field(default_factory=lambda: time.monotonic())
    idle_since: float = field(default_factory=lambda: time.monotonic())
    failed_at: float | None = None
    failure: RestartReason = RestartReason.CRASHED
    restarts: list[float] = field(default_factory=list)
    held_bytes: int | None = None
    held_idle_bytes: int | None = None
    ran_out_at: float | None = None

    def began(self) -> None:
        """A worker starts."""
        self.heard_at = self.progress_at = self.idle_since = time.monotonic()
        self.failed_at = self.held_bytes = self.held_idle_bytes = self.ran_out_at = None

    def ran_out(self) -> None:
        """A job ended for lack of memory, and its worker goes on: what the job took has to come back first."""
        if self.held_idle_bytes is not None:
            self.ran_out_at = time.monotonic()

    def measured(self, memory: Memory, *, idle: bool) -> None:
        """What the worker holds: of the device, or on a processor of the host."""
        on_device = memory.allocated_bytes is not None
        self.held_bytes = memory.allocated_bytes if on_device else memory.resident_bytes
        if not idle or self.held_bytes is None:
            return
        before = self.held_idle_bytes
        allowed = DEVICE_ALLOWANCE_BYTES if on_device else HOST_ALLOWANCE_BYTES
        if self.ran_out_at is None:
            self.held_idle_bytes = self.held_bytes
        elif before is not None and self.held_bytes <= before + max(allowed, before // 10):
            self.ran_out_at = None

    def failed(self, reason: RestartReason) -> None:
        self.failed_at, self.failure = time.monotonic(), reason
