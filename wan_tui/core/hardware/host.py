"""The host as a device: processors, memory as far as this process may use it, and free space on its volumes."""

import platform
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from wan_tui.core.hardware.samples import HostSample, VolumeSample


class HostProbe:
    """Samples the host. ``volumes`` maps a volume's name (models, outputs, cache) to a path, which need not exist yet.

    ``root`` is where ``/proc`` and ``/sys`` are found.
    """

    def __init__(self, volumes: Mapping[str, Path] | None = None, *, root: Path = Path("/")) -> None:
        self._volumes = dict(volumes or {})
        self._root = root
        self._hostname = socket.gethostname()
        self._cpu_name = _cpu_name(root)
        self._cpu_count = psutil.cpu_count() or 1
        self._cpu_seconds = _cpu_seconds()

    def sample(self) -> HostSample:
        """Read everything once, in about a millisecond and without waiting; what cannot be read is left out.

        A network file system that hangs does block it, as it blocks everything: off the event loop, please.
        """
        total, available = _memory(self._root)
        return HostSample(
            hostname=self._hostname,
            cpu_name=self._cpu_name,
            cpu_count=self._cpu_count,
            cpu_utilization_ratio=self._utilization(),
            memory_total_bytes=total,
            memory_available_bytes=available,
            sampled_at=time.time(),
            volumes=tuple(_volumes(self._volumes)),
        )

    def _utilization(self) -> float | None:
        # Not psutil.cpu_percent: it measures since the last call of the same thread, and the first one says 0.
        before, self._cpu_seconds = self._cpu_seconds, _cpu_seconds()
        busy = self._cpu_seconds.busy - before.busy
        elapsed = busy + self._cpu_seconds.idle - before.idle
        return min(max(busy / elapsed, 0.0), 1.0) if elapsed > 0 else None


@dataclass(frozen=True, slots=True)
class _CpuSeconds:
    busy: float
    idle: float


def _cpu_seconds() -> _CpuSeconds:
    """Seconds since boot that all processors together were busy and idle."""
    times = psutil.cpu_times()._asdict()
    idle = times["idle"] + times.get("iowait", 0.0)
    guest = times.get("guest", 0.0) + times.get("guest_nice", 0.0)  # Linux counts these within user and nice too
    return _CpuSeconds(busy=sum(times.values()) - guest - idle, idle=idle)


def _cpu_name(root: Path) -> str:
    """Model name of the processor; its architecture where the kernel does not tell (ARM)."""
    try:
        for line in (root / "proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.machine() or "unknown"


def _memory(root: Path) -> tuple[int, int]:
    """Total and available bytes: the machine's, or less where a control group allows less."""
    machine = psutil.virtual_memory()
    total, available = int(machine.total), int(machine.available)
    for limit, used in _cgroup_memory(root):
        total = min(total, limit)
        available = min(available, max(limit - used, 0))
    return total, available


def _cgroup_memory(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and used bytes of each control group around this process that has a limit, version 1 or 2."""
    try:
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for membership in memberships:
        _id, controllers, path = membership.split(":", 2)
        if controllers == "":
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Each ancestor limits too. In a container the path may be the host's: then only the mount itself exists.
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if (figures := _limit_and_usage(folder, *names)) is not None:
                yield figures
            if folder == mount:
                break


def _limit_and_usage(folder: Path, limit: str, usage: str, cache: str) -> tuple[int, int] | None:
    """Bytes; None where there is no such group or no limit ("max"). File pages not used lately do not count as used."""
    try:
        limit_bytes = int((folder / limit).read_text())
        statistics = dict(line.split(" ", 1) for line in (folder / "memory.stat").read_text().splitlines())
        return limit_bytes, int((folder / usage).read_text()) - int(statistics.get(cache, 0))
    except (OSError, ValueError):
        return None


def _volumes(paths: Mapping[str, Path]) -> Iterator[VolumeSample]:
    for volume, path in paths.items():
        for folder in (path, *path.absolute().parents):
            try:
                usage = shutil.disk_usage(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue  # not made yet: it will be, on its parent's file system
            except OSError:
                break
            yield VolumeSample(volume, str(path), usage.total, usage.free)
            break
