"""Families about the slices of GPUs in MIG mode: apart from those of whole GPUs, so that no sum counts memory twice."""

from collections.abc import Iterable

from wan_exporter.families import Families, gauge
from wan_exporter.families_identity import GPU, identity
from wan_tui.core.hardware.samples import GpuSample

SLICE = (*GPU, "gpu_instance_id")


def mig_families(gpus: Iterable[GpuSample]) -> Families:
    slices = [(gpu, part) for gpu in gpus for part in gpu.mig_devices or ()]
    yield from gauge(
        "wantui_mig_info",
        "A slice of a GPU in MIG mode, with its profile (such as 1g.10gb); the value is always 1.",
        (*GPU, "mig_uuid", "gpu_instance_id", "compute_instance_id", "profile"),
        [
            ((*identity(gpu), part.uuid, str(part.gpu_instance_id), str(part.compute_instance_id), part.profile), 1)
            for gpu, part in slices
        ],
    )
    # Compute instances of one GPU instance share its memory: it is told once.
    instances = {(gpu.uuid, part.gpu_instance_id): (gpu, part) for gpu, part in reversed(slices)}
    memory = [((*identity(gpu), str(part.gpu_instance_id)), part) for gpu, part in reversed(instances.values())]
    yield from gauge(
        "wantui_mig_memory_total_bytes",
        "Memory of a GPU instance in MIG mode.",
        SLICE,
        [(labels, part.memory_total_bytes) for labels, part in memory],
    )
    yield from gauge(
        "wantui_mig_memory_used_bytes",
        "Memory that is used on a GPU instance in MIG mode.",
        SLICE,
        [(labels, part.memory_used_bytes) for labels, part in memory],
    )
