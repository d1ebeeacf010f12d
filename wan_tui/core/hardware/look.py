"""One look at this host's hardware, for a command that runs no engine."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wan_tui.core.hardware.host import HostProbe
from wan_tui.core.hardware.nvml import NvmlProbe
from wan_tui.core.hardware.samples import HardwareSample, HostSample


def look(volumes: Mapping[str, Path] | None = None) -> tuple[HardwareSample, HostSample]:
    """GPUs and host now; ``volumes`` are directories whose free space counts, by their name in the sample."""
    probe = NvmlProbe()
    # A thread of its own, since the caller may be inside an event loop.
    with ThreadPoolExecutor(max_workers=1) as elsewhere:
        hardware = elsewhere.submit(lambda: asyncio.run(probe.sample())).result()
    probe.close()
    return hardware, HostProbe(volumes or {}).sample()
