"""What the engine expects of anything that reads GPUs."""

from typing import Protocol

from wan_tui.core.hardware.samples import HardwareSample


class GpuProbe(Protocol):
    """Reads the driver and its GPUs. One sample at a time: a caller awaits one before it asks for the next."""

    async def sample(self) -> HardwareSample:
        """Read everything once.

        Takes about the probe's deadline at most and never raises for trouble with the driver: what failed, hung or
        was lost is part of the sample.
        """
        ...

    def close(self) -> None:
        """Let go of the driver. Returns at once, even while a driver call hangs; later samples find every GPU down."""
        ...
