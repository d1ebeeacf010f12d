"""What is asked of NVML: one reading of the driver, one reading of one GPU. Every function here may block.

Nothing is kept between readings but the names of functions that this driver does not have.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml

from wan_tui.core.hardware.samples import GpuProcess, GpuSample, MigDevice

Handle = Any
Fields = dict[str, Any]
Reader = Callable[[Handle], Fields]


class DriverError(Exception):
    """The driver answered with an error; the message is NVML's."""


class DriverMissing(DriverError):
    """There is no NVML library: a host without an NVIDIA driver."""


@dataclass(frozen=True, slots=True)
class DriverReading:
    """Versions and the number of GPUs that the driver enumerates."""

    gpus: int
    driver_version: str | None
    nvml_version: str | None
    cuda_driver_version: str | None


def read_driver(initialize: bool) -> DriverReading:
    """Ask the driver for its GPUs, after ``nvmlInit`` where told. Raises ``DriverError``."""
    try:
        if initialize:
            pynvml.nvmlInit()
        return DriverReading(
            gpus=pynvml.nvmlDeviceGetCount(),
            driver_version=_optional(pynvml.nvmlSystemGetDriverVersion),
            nvml_version=_optional(pynvml.nvmlSystemGetNVMLVersion),
            cuda_driver_version=_optional(_cuda_version),
        )
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            raise DriverMissing("no NVIDIA driver") from None
        raise DriverError(str(error)) from None


def shut_down() -> None:
    """Undo ``nvmlInit``; an error then is of no interest."""
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlShutdown()


def read_gpu(index: int, missing: set[Reader]) -> GpuSample:
    """Read the GPU at NVML ``index``. Raises ``DriverError`` when it cannot be identified or is lost.

    A field that cannot be read is None: a broken fan sensor does not take the GPU's memory figures away.
    ``missing`` remembers the readers whose function this driver lacks.
    """
    fields: Fields = {}
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
        for reader in READERS:
            if reader in missing:
                continue
            try:
                fields |= reader(handle)
            except pynvml.NVMLError as error:
                if error.value in _GPU_GONE:
                    raise
                if error.value == pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                    missing.add(reader)
    except pynvml.NVMLError as error:
        # As text, here: NVML itself is asked to spell the rarer codes, so only this thread may do it.
        raise DriverError(str(error)) from None
    return GpuSample(index=index, uuid=uuid, name=name, up=True, sampled_at=time.time(), **fields)


_GPU_GONE = {
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED,
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
}

# Other words for "this driver is too old for that call".
_TOO_OLD = {
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_INVALID_ARGUMENT,
}


def _optional(function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function`` returns, None where NVML has no answer."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _GPU_GONE:
            raise
        return None


def _either(newer: Reader, older: Reader) -> Reader:
    """Reads with ``newer``, with ``older`` where the driver does not know it."""

    def read(handle: Handle) -> Fields:
        try:
            return newer(handle)
        except pynvml.NVMLError as error:
            if error.value not in _TOO_OLD:
                raise
            return older(handle)

    return read


def _one(field: str, function: Callable[..., int], *arguments: int, unit: Callable[[int], float | int] = int) -> Reader:
    """Reads one number, through ``unit`` where NVML's unit or type is not ours."""

    def read(handle: Handle) -> Fields:
        return {field: unit(function(handle, *arguments))}

    return read


def _milli(value: int) -> float:
    return value / 1000


def _percent(value: int) -> float:
    return value / 100


def _mega(value: int) -> float:
    return value * 1e6


def _cuda_version() -> str:
    version = pynvml.nvmlSystemGetCudaDriverVersion_v2()
    return f"{version // 1000}.{version % 1000 // 10}"


def _pci(handle: Handle) -> Fields:
    return {"pci_bus_id": pynvml.nvmlDeviceGetPciInfo(handle).busId}


def _compute_capability(handle: Handle) -> Fields:
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return {"compute_capability": f"{major}.{minor}"}


def _memory(handle: Handle) -> Fields:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    return _memory_fields(memory) | {"memory_reserved_bytes": memory.reserved}


def _memory_v1(handle: Handle) -> Fields:
    return _memory_fields(pynvml.nvmlDeviceGetMemoryInfo(handle))  # "used" includes what v2 calls reserved


def _memory_fields(memory: Any) -> Fields:
    return {
        "memory_total_bytes": memory.total,
        "memory_used_bytes": memory.used,
        "memory_free_bytes": memory.free,
    }


def _utilization(handle: Handle) -> Fields:
    rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
    return {"utilization_ratio": _percent(rates.gpu), "memory_activity_ratio": _percent(rates.memory)}


def _memory_temperature(handle: Handle) -> Fields:
    return {"memory_temperature_celsius": float(_field_value(handle, pynvml.NVML_FI_DEV_MEMORY_TEMP))}


def _field_value(handle: Handle, field: int) -> int:
    (reading,) = pynvml.nvmlDeviceGetFieldValues(handle, [field])
    if reading.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(reading.nvmlReturn)
    return int(reading.value.uiVal)


RECOVERY_ACTIONS: dict[int, str] = {
    pynvml.NVML_GPU_RECOVERY_ACTION_NONE: "none",
    pynvml.NVML_GPU_RECOVERY_ACTION_GPU_RESET: "gpu_reset",
    pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT: "node_reboot",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_P2P: "drain_p2p",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_AND_RESET: "drain_and_reset",
}
OTHER_RECOVERY_ACTION = "other"
"""What a newer driver may ask for."""


def _recovery_action(handle: Handle) -> Fields:
    action = _field_value(handle, pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)
    return {"recovery_action": RECOVERY_ACTIONS.get(action, OTHER_RECOVERY_ACTION)}


_ALL_LINKS = 0xFFFFFFFF
_TRAFFIC: dict[str, tuple[tuple[int, int], int]] = {
    "pcie_transmit_bytes": ((pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES, 0), 1),
    "pcie_receive_bytes": ((pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES, 0), 1),
    "nvlink_transmit_bytes": ((pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, _ALL_LINKS), 1024),
    "nvlink_receive_bytes": ((pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, _ALL_LINKS), 1024),
}
"""Field and scope of each byte counter, and how many bytes it counts by (nvml.h)."""


def _traffic(handle: Handle) -> Fields:
    """Counters, all in one call: nvmlDeviceGetPcieThroughput measures for 20 ms each time and knows rates only."""
    readings = pynvml.nvmlDeviceGetFieldValues(handle, [field for field, _ in _TRAFFIC.values()])
    return {
        name: int(reading.value.ullVal) * unit
        for (name, (_, unit)), reading in zip(_TRAFFIC.items(), readings, strict=True)
        # One of 32 bits begins anew several times a second at the speed of these links: it tells nothing.
        if reading.nvmlReturn == pynvml.NVML_SUCCESS and reading.valueType in _OF_64_BITS
    }


_OF_64_BITS = (pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG, pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG)


def _mig(handle: Handle) -> Fields:
    """The mode, and the slices of a GPU that is split."""
    if pynvml.nvmlDeviceGetMigMode(handle)[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return {"mig_mode": "disabled"}
    slices = []
    for index in range(_optional(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        # Instance numbers have gaps, and a slice can go while it is read.
        part = _optional(lambda index=index: _mig_device(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)))
        slices += [] if part is None else [part]
    return {"mig_mode": "enabled", "mig_devices": tuple(slices)}


def _mig_device(handle: Handle) -> MigDevice:
    memory = _optional(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return MigDevice(
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        gpu_instance_id=pynvml.nvmlDeviceGetGpuInstanceId(handle),
        compute_instance_id=pynvml.nvmlDeviceGetComputeInstanceId(handle),
        profile=pynvml.nvmlDeviceGetName(handle).rpartition("MIG ")[2],
        memory_total_bytes=None if memory is None else memory.total,
        memory_used_bytes=None if memory is None else memory.used,
    )


def _remapped_rows(handle: Handle) -> Fields:
    _corrected, _uncorrected, pending, failure = pynvml.nvmlDeviceGetRemappedRows(handle)
    return {"remapped_rows_pending": bool(pending), "remapped_rows_failure": bool(failure)}


THROTTLE_REASONS: dict[str, int] = {
    "gpu_idle": pynvml.nvmlClocksEventReasonGpuIdle,
    "applications_clocks_setting": pynvml.nvmlClocksEventReasonApplicationsClocksSetting,
    "sw_power_cap": pynvml.nvmlClocksEventReasonSwPowerCap,
    "hw_slowdown": pynvml.nvmlClocksEventReasonHwSlowdown,
    "sync_boost": pynvml.nvmlClocksEventReasonSyncBoost,
    "sw_thermal_slowdown": pynvml.nvmlClocksEventReasonSwThermalSlowdown,
    "hw_thermal_slowdown": pynvml.nvmlClocksEventReasonHwThermalSlowdown,
    "hw_power_brake_slowdown": pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
    "display_clock_setting": pynvml.nvmlClocksEventReasonDisplayClockSetting,
}


def _throttle_reasons(function: Callable[[Handle], int]) -> Reader:
    def read(handle: Handle) -> Fields:
        mask = function(handle)
        return {"throttle_reasons": tuple(reason for reason, bit in THROTTLE_REASONS.items() if mask & bit)}

    return read


def _processes(handle: Handle) -> Fields:
    compute = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    graphics = _optional(pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3, handle) or []
    # A process with both contexts is in both lists, with all of its memory in each.
    used: dict[int, int | None] = {}
    for process in (*compute, *graphics):
        used[process.pid] = used.get(process.pid) or process.usedGpuMemory
    return {"processes": tuple(GpuProcess(pid, used[pid], _process_name(pid)) for pid in sorted(used))}


def _process_name(pid: int) -> str | None:
    """Name of the program without its folder; None for a process that ended or is hidden (another container's)."""
    with contextlib.suppress(pynvml.NVMLError, UnicodeDecodeError):
        path: str = pynvml.nvmlSystemGetProcessName(pid)
        if path:
            return path.rsplit("/", 1)[-1]
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).name()
    return None


READERS: tuple[Reader, ...] = (
    _pci,
    _compute_capability,
    _either(_memory, _memory_v1),
    _utilization,
    _either(
        _one("temperature_celsius", pynvml.nvmlDeviceGetTemperatureV, pynvml.NVML_TEMPERATURE_GPU, unit=float),
        _one("temperature_celsius", pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU, unit=float),
    ),
    _memory_temperature,
    _one(
        "temperature_slowdown_celsius",
        pynvml.nvmlDeviceGetTemperatureThreshold,
        pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN,
        unit=float,
    ),
    _one(
        "temperature_shutdown_celsius",
        pynvml.nvmlDeviceGetTemperatureThreshold,
        pynvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN,
        unit=float,
    ),
    _one("power_watts", pynvml.nvmlDeviceGetPowerUsage, unit=_milli),
    _one("power_limit_watts", pynvml.nvmlDeviceGetEnforcedPowerLimit, unit=_milli),
    _one("energy_joules", pynvml.nvmlDeviceGetTotalEnergyConsumption, unit=_milli),
    _one("fan_speed_ratio", pynvml.nvmlDeviceGetFanSpeed, unit=_percent),
    _one("sm_clock_hertz", pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM, unit=_mega),
    _one("sm_clock_max_hertz", pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_SM, unit=_mega),
    _one("memory_clock_hertz", pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_MEM, unit=_mega),
    _one("memory_clock_max_hertz", pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_MEM, unit=_mega),
    _either(
        _throttle_reasons(pynvml.nvmlDeviceGetCurrentClocksEventReasons),
        _throttle_reasons(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons),
    ),
    _one(
        "ecc_corrected_errors",
        pynvml.nvmlDeviceGetTotalEccErrors,
        pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
        pynvml.NVML_VOLATILE_ECC,
    ),
    _one(
        "ecc_uncorrected_errors",
        pynvml.nvmlDeviceGetTotalEccErrors,
        pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
        pynvml.NVML_VOLATILE_ECC,
    ),
    _remapped_rows,
    _one("pcie_link_generation", pynvml.nvmlDeviceGetCurrPcieLinkGeneration),
    _one("pcie_link_width", pynvml.nvmlDeviceGetCurrPcieLinkWidth),
    _processes,
    _recovery_action,
    _traffic,
    _mig,
)
