"""One look at this host's hardware, for a command that runs no engine."""

import asyncio
import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wan_tui.core.hardware.cpu_rate import matmul_flop_per_second
from wan_tui.core.hardware.host import HostProbe
from wan_tui.core.hardware.nvml import NvmlProbe
from wan_tui.core.hardware.samples import HardwareSample, HostSample


def look(
    volumes: Mapping[str, Path] | None = None, *, cpu_cache: Path | None = None
) -> tuple[HardwareSample, HostSample]:
    """GPUs and host now; ``volumes`` are directories whose free space counts, by their name in the sample.

    With ``cpu_cache``, a directory, the rate of the processors is known too.
    """
    probe = NvmlProbe()
    # A thread of its own, since the caller may be inside an event loop.
    with ThreadPoolExecutor(max_workers=1) as elsewhere:
        hardware = elsewhere.submit(lambda: asyncio.run(probe.sample())).result()
    probe.close()
    host = HostProbe(volumes or {}).sample()
    return hardware, host if cpu_cache is None else with_cpu_rate(host, cpu_cache)


def with_cpu_rate(host: HostSample, cache: Path) -> HostSample:
    """``host`` with the rate of its processors, measured if it is not remembered in ``cache``."""
    cpu = f"{host.cpu_name} x{host.cpu_count}"
    return dataclasses.replace(host, matmul_flop_per_second=matmul_flop_per_second(cache, cpu))
