"""The host probe: what this process may use, not what the machine has."""

import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from wan_tui.core.hardware.host import HostProbe
from wan_tui.core.hardware.samples import HostSample

MIB = 1024**2
UNLIMITED_V1 = 0x7FFFFFFFFFFFF000


def sample_with_cgroup(root: Path, membership: str, groups: dict[str, dict[str, str]]) -> HostSample:
    """A sample of a host with these lines in /proc/self/cgroup and these files below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for group, files in groups.items():
        folder = root / "sys/fs/cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_text(content)
    return HostProbe(root=root).sample()


def v2(limit: str, current: int, inactive_file: int = 0) -> dict[str, str]:
    return {
        "memory.max": f"{limit}\n",
        "memory.current": f"{current}\n",
        "memory.stat": f"anon 1\ninactive_file {inactive_file}\nactive_file 5\n",
    }


def v1(limit: int, usage: int, inactive_file: int = 0) -> dict[str, str]:
    return {
        "memory.limit_in_bytes": f"{limit}\n",
        "memory.usage_in_bytes": f"{usage}\n",
        "memory.stat": f"cache 1\ninactive_file 3\ntotal_inactive_file {inactive_file}\n",
    }


def test_it_names_the_host_and_its_processors() -> None:
    sample = HostProbe().sample()
    assert sample.hostname == socket.gethostname()
    assert sample.cpu_count == os.cpu_count()
    assert sample.sampled_at == pytest.approx(time.time(), abs=60)


def test_the_processor_is_named_as_the_kernel_names_it(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: AMD EPYC 9654: 96 cores\nflags\t: fpu\n")
    assert HostProbe(root=tmp_path).sample().cpu_name == "AMD EPYC 9654: 96 cores"


def test_a_processor_that_the_kernel_does_not_name_has_its_architecture(tmp_path: Path) -> None:
    assert HostProbe(root=tmp_path).sample().cpu_name == os.uname().machine


def test_utilization_is_that_since_the_last_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    times = psutil.cpu_times()._replace(**dict.fromkeys(psutil.cpu_times()._fields, 0.0))
    # Of 4 processor seconds: 1 busy (guest time is part of user time), 1 waiting for a disk, 2 idle.
    later = times._replace(user=1.0, guest=0.5, idle=2.0, iowait=1.0)
    readings = iter([times, later, later])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
    probe = HostProbe()
    assert probe.sample().cpu_utilization_ratio == pytest.approx(0.25)
    assert probe.sample().cpu_utilization_ratio is None, "no time went by: nothing is known"


def test_a_machine_without_control_groups_has_its_own_memory(tmp_path: Path) -> None:
    sample = HostProbe(root=tmp_path).sample()
    assert sample.memory_total_bytes == psutil.virtual_memory().total
    assert 0 < sample.memory_available_bytes <= sample.memory_total_bytes


def test_a_control_group_limits_memory(tmp_path: Path) -> None:
    sample = sample_with_cgroup(tmp_path, "0::/job\n", {"job": v2(str(64 * MIB), 40 * MIB)})
    assert (sample.memory_total_bytes, sample.memory_available_bytes) == (64 * MIB, 24 * MIB)


def test_reclaimable_file_cache_counts_as_available(tmp_path: Path) -> None:
    sample = sample_with_cgroup(tmp_path, "0::/job\n", {"job": v2(str(64 * MIB), 60 * MIB, inactive_file=30 * MIB)})
    assert sample.memory_available_bytes == 34 * MIB


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    groups = {"job": v2(str(64 * MIB), 60 * MIB), "job/step": v2("max", 10 * MIB), ".": v2(str(128 * MIB), 70 * MIB)}
    sample = sample_with_cgroup(tmp_path, "0::/job/step\n", groups)
    assert (sample.memory_total_bytes, sample.memory_available_bytes) == (64 * MIB, 4 * MIB)


def test_a_group_without_limit_changes_nothing(tmp_path: Path) -> None:
    sample = sample_with_cgroup(tmp_path, "0::/\n", {".": v2("max", 10 * MIB)})
    assert sample.memory_total_bytes == psutil.virtual_memory().total


def test_a_group_over_its_limit_has_nothing_available(tmp_path: Path) -> None:
    sample = sample_with_cgroup(tmp_path, "0::/\n", {".": v2(str(64 * MIB), 65 * MIB)})
    assert sample.memory_available_bytes == 0


def test_version_1_in_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    membership = "9:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n"
    sample = sample_with_cgroup(tmp_path, membership, {"memory": v1(64 * MIB, 60 * MIB, inactive_file=20 * MIB)})
    assert (sample.memory_total_bytes, sample.memory_available_bytes) == (64 * MIB, 24 * MIB)


def test_version_1_without_limit(tmp_path: Path) -> None:
    sample = sample_with_cgroup(tmp_path, "4:memory:/\n", {"memory": v1(UNLIMITED_V1, 60 * MIB)})
    assert sample.memory_total_bytes == psutil.virtual_memory().total


def test_a_volume_that_is_not_there_yet_is_measured_where_it_will_be(tmp_path: Path) -> None:
    future = tmp_path / "outputs" / "2026"
    (volume,) = HostProbe({"outputs": future}).sample().volumes
    assert (volume.volume, volume.path) == ("outputs", str(future))
    assert volume.total_bytes == psutil.disk_usage(str(tmp_path)).total
    assert 0 <= volume.free_bytes <= volume.total_bytes


def test_a_volume_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    unreadable = tmp_path / ("x" * 300)  # longer than a file name may be
    volumes = HostProbe({"models": unreadable, "cache": tmp_path}).sample().volumes
    assert [volume.volume for volume in volumes] == ["cache"]
