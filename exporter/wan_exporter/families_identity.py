"""How a GPU is named on every series that is about one."""

from wan_tui.core.hardware.samples import GpuSample

GPU = ("gpu", "uuid")
"""Its NVML index, for people, and its UUID, which never moves."""


def identity(gpu: GpuSample) -> tuple[str, str]:
    """The label values of ``GPU``."""
    return str(gpu.index), gpu.uuid
