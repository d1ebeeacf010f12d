"""Golden scrapes: one kind of host each, byte for byte. ``python -m tests.exporter.goldens`` writes them anew.

They are there to be read in a review: a name, a label or a unit that changes shows as a changed line.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from tests import snapshots
from tests.snapshot_parts import AT, GIB, h100
from wan_exporter.collector import SnapshotCollector
from wan_tui.core.hardware.samples import GpuSample, MigDevice, VolumeSample
from wan_tui.core.snapshot import ModelFiles, Snapshot

FOLDER = Path(__file__).parent
COMMAND = "python -m tests.exporter.goldens"


def no_gpu() -> Snapshot:
    """A host without an NVIDIA driver that generates on its CPU."""
    return snapshots.pocket_running()


def one_4080() -> Snapshot:
    """One consumer card: no ECC, no memory sensor; a deployment that can never fit on it."""
    return snapshots.incompatible()


def eight_h100_one_lost() -> Snapshot:
    """Four deployments on eight GPUs, of which one fell off the bus; everything that can be told is."""
    host = snapshots.eight_gpus_one_lost()
    first, *others = host.deployments
    volumes = (*host.host.volumes, VolumeSample("cache", "/var/cache/wan", 64 * GIB, 40 * GIB))
    return replace(
        host,
        deployments=(replace(first, unreleased_bytes=GIB, idle_unload_at=AT + 600), *others),
        host=replace(host.host, volumes=volumes),
        config=replace(host.config, last_success_at=AT - 86_400),
        gpus_expected=8,
        model_files=(ModelFiles("t2v-A14B", 2, 40 * "a"), ModelFiles("ti2v-5B", 0)),
    )


def mig() -> Snapshot:
    """An H100 in MIG mode: the whole tells no utilization, two compute instances share one of its slices."""
    host = snapshots.incompatible()
    whole = replace(
        h100(0), mig_mode="enabled", utilization_ratio=None, memory_activity_ratio=None, mig_devices=tuple(_slices())
    )
    return replace(host, gpus=(whole,), deployments=())


def _slices() -> list[MigDevice]:
    kinds = ((1, 0, "3g.40gb", 40), (2, 0, "1c.2g.20gb", 20), (2, 1, "1c.2g.20gb", 20), (9, 0, "1g.10gb", 10))
    return [
        MigDevice(
            uuid=f"MIG-{number:08d}-1111-4222-8333-444444444444",
            gpu_instance_id=instance,
            compute_instance_id=compute,
            profile=profile,
            memory_total_bytes=size * GIB,
            memory_used_bytes=size * GIB // 8,
        )
        for number, (instance, compute, profile, size) in enumerate(kinds)
    ]


def everything_unsupported() -> Snapshot:
    """A device of which the driver tells its name and nothing else: absent, not zero."""
    host = snapshots.incompatible()
    bare = GpuSample(
        index=0, uuid="GPU-00000000-aaaa-4bbb-8ccc-dddddddddddd", name="NVIDIA GPU", up=True, sampled_at=AT
    )
    return replace(host, gpus=(bare,), deployments=())


SCENARIOS: Mapping[str, Callable[[], Snapshot]] = {
    "no-gpu": no_gpu,
    "one-4080": one_4080,
    "eight-h100-one-lost": eight_h100_one_lost,
    "mig": mig,
    "everything-unsupported": everything_unsupported,
}


def golden(name: str) -> Path:
    return FOLDER / f"{name}.prom"


def scrape(snapshot: Snapshot) -> str:
    """The text of ``snapshot``, without the two values that are not in it."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: snapshot))
    text = re.sub(r'python_version="[^"]*"', 'python_version="3.x"', generate_latest(registry).decode())
    return re.sub(r'(_build_info{.*)revision="[^"]*"', r'\1revision="0123abc"', text)
