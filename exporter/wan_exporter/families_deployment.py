"""Families about deployments: what is wanted, what is, whether it fits, its memory and its worker."""

from collections.abc import Iterable, Sequence

from wan_exporter.families import Families, Samples, counter, gauge, histogram, one_of
from wan_exporter.families_identity import GPU, identity
from wan_tui.core.hardware.samples import GpuSample
from wan_tui.core.runtime.state import DeploymentStatus, LabelledCount
from wan_tui.core.snapshot import Snapshot

DEPLOYMENT = ("deployment",)


def deployment_families(snapshot: Snapshot) -> Families:
    deployments = snapshot.deployments
    placed = [(d, gpu) for d in deployments if (gpu := _gpu_of(d, snapshot.gpus)) is not None]
    yield from _identity(deployments, placed)
    yield from _state(deployments)
    yield from _loads(deployments)
    yield from _supervision(deployments)
    yield from _memory(placed)
    yield from _worker(deployments)


def labelled(deployments: Iterable[tuple[str, Iterable[LabelledCount]]]) -> Samples:
    """Counts by label of each deployment, with the name of the deployment in front."""
    return (((name, entry.label), entry.value) for name, entries in deployments for entry in entries)


def _gpu_of(deployment: DeploymentStatus, gpus: Iterable[GpuSample]) -> GpuSample | None:
    """The GPU that the plan names; None on the CPU and where there is no plan."""
    plan = deployment.compatibility.plan
    if plan is None or plan.gpu_uuid is None:
        return None
    return next((gpu for gpu in gpus if gpu.uuid == plan.gpu_uuid), None)


def _identity(
    deployments: Iterable[DeploymentStatus], placed: Iterable[tuple[DeploymentStatus, GpuSample]]
) -> Families:
    yield from gauge(
        "wantui_deployment_info",
        "Model and profile of a deployment; the value is always 1.",
        (*DEPLOYMENT, "model", "profile"),
        [((d.name, d.model, d.profile), 1) for d in deployments],
    )
    yield from gauge(
        "wantui_deployment_gpu_info",
        "The GPU that a deployment is planned on, to join deployments with GPUs; the value is always 1.",
        (*DEPLOYMENT, *GPU),
        [((d.name, *identity(gpu)), 1) for d, gpu in placed],
    )
    yield from gauge(
        "wantui_deployment_verdict",
        "Whether the deployment can run on its device: exactly one verdict is 1.",
        (*DEPLOYMENT, "verdict"),
        [sample for d in deployments for sample in one_of(d.compatibility.verdict, (d.name,))],
    )
    yield from gauge(
        "wantui_deployment_headroom_bytes",
        "Device memory that is left at the estimated peak; negative where the deployment is short of it.",
        DEPLOYMENT,
        [((d.name,), d.compatibility.headroom_bytes) for d in deployments],
    )


def _state(deployments: Iterable[DeploymentStatus]) -> Families:
    yield from gauge(
        "wantui_deployment_desired_loaded",
        "1 when an operator or the configuration wants the deployment loaded, 0 otherwise.",
        DEPLOYMENT,
        [((d.name,), d.wanted_loaded) for d in deployments],
    )
    yield from gauge(
        "wantui_deployment_state",
        "Load state of the deployment: exactly one state is 1.",
        (*DEPLOYMENT, "state"),
        [sample for d in deployments for sample in one_of(d.state, (d.name,))],
    )
    yield from gauge(
        "wantui_deployment_state_changed_timestamp_seconds",
        "Unix time at which the load state last changed.",
        DEPLOYMENT,
        [((d.name,), d.state_changed_at) for d in deployments],
    )


def _loads(deployments: Sequence[DeploymentStatus]) -> Families:
    yield from histogram(
        "wantui_deployment_load_duration_seconds",
        "How long loading the model took, for loads that succeeded.",
        DEPLOYMENT,
        [((d.name,), d.totals.load_seconds) for d in deployments],
    )
    yield from gauge(
        "wantui_deployment_last_load_duration_seconds",
        "How long the last load that succeeded took; absent before the first one.",
        DEPLOYMENT,
        [((d.name,), d.last_load_seconds) for d in deployments],
    )
    yield from counter(
        "wantui_deployment_loads_total",
        "Loads that began, those that failed included.",
        DEPLOYMENT,
        [((d.name,), d.totals.loads) for d in deployments],
    )
    yield from counter(
        "wantui_deployment_load_failures_total",
        "Loads that failed, by reason.",
        (*DEPLOYMENT, "reason"),
        labelled((d.name, d.totals.load_failures) for d in deployments),
    )
    yield from counter(
        "wantui_deployment_unloads_total",
        "Unloads, by what caused them.",
        (*DEPLOYMENT, "cause"),
        labelled((d.name, d.totals.unloads) for d in deployments),
    )


def _supervision(deployments: Iterable[DeploymentStatus]) -> Families:
    yield from gauge(
        "wantui_deployment_idle_unload_timestamp_seconds",
        "Unix time at which the idle deployment will be unloaded; absent when it will not be.",
        DEPLOYMENT,
        [((d.name,), d.idle_unload_at) for d in deployments],
    )
    yield from counter(
        "wantui_worker_restarts_total",
        "Workers that were started again by themselves, by what had happened to the one before.",
        (*DEPLOYMENT, "reason"),
        labelled((d.name, d.totals.worker_restarts) for d in deployments),
    )


def _memory(placed: Sequence[tuple[DeploymentStatus, GpuSample]]) -> Families:
    """Estimates beside observations. A deployment on the CPU has no GPU memory, so it has none of these series."""
    labels = (*DEPLOYMENT, *GPU)
    yield from gauge(
        "wantui_deployment_vram_estimated_bytes",
        "Estimated GPU memory of the deployment: after loading (loaded) and in the largest phase of a job (peak). "
        "Absent while its worker runs under another plan than a new load would get.",
        (*labels, "phase"),
        [
            ((d.name, *identity(gpu), phase), value)
            for d, gpu in placed
            if (memory := d.memory_in_force) is not None
            for phase, value in (("loaded", memory.loaded_bytes), ("peak", memory.peak_bytes))
        ],
    )
    yield from gauge(
        "wantui_deployment_vram_observed_bytes",
        "GPU memory that the worker holds now, as the driver counts it for its process.",
        labels,
        [((d.name, *identity(gpu)), _observed_bytes(d, gpu)) for d, gpu in placed],
    )
    yield from gauge(
        "wantui_deployment_unload_unreleased_bytes",
        "GPU memory that the driver still books for the last worker, seconds after it was gone; absent before.",
        labels,
        [((d.name, *identity(gpu)), d.unreleased_bytes) for d, gpu in placed],
    )
    running = [((d.name, *identity(gpu)), d.worker) for d, gpu in placed if d.worker is not None and d.worker.up]
    yield from gauge(
        "wantui_deployment_vram_peak_bytes",
        "Highest GPU memory that the allocator of torch held since the worker started.",
        labels,
        [(values, worker.device_peak_bytes) for values, worker in running],
    )
    yield from gauge(
        "wantui_deployment_vram_allocated_bytes",
        "GPU memory in tensors of the worker now, as torch counts it.",
        labels,
        [(values, worker.device_allocated_bytes) for values, worker in running],
    )
    yield from gauge(
        "wantui_deployment_vram_torch_reserved_bytes",
        "GPU memory that the allocator of torch holds now; beyond the allocated bytes it is cache and fragmentation.",
        labels,
        [(values, worker.device_reserved_bytes) for values, worker in running],
    )


def _observed_bytes(deployment: DeploymentStatus, gpu: GpuSample) -> int | None:
    worker = deployment.worker
    if worker is None or not gpu.up or gpu.processes is None:
        return None
    return next((process.used_memory_bytes for process in gpu.processes if process.pid == worker.pid), None)


def _worker(deployments: Iterable[DeploymentStatus]) -> Families:
    yield from gauge(
        "wantui_worker_up",
        "1 when the worker process of the deployment runs, 0 otherwise; an unloaded deployment has none.",
        DEPLOYMENT,
        [((d.name,), float(d.worker is not None and d.worker.up)) for d in deployments],
    )
    yield from gauge(
        "wantui_worker_resident_memory_bytes",
        "Host memory of the worker process.",
        DEPLOYMENT,
        [((d.name,), d.worker.resident_memory_bytes) for d in deployments if d.worker is not None and d.worker.up],
    )
    yield from gauge(
        "wantui_worker_last_progress_timestamp_seconds",
        "Unix time at which the worker last reported progress of a load or of a generation.",
        DEPLOYMENT,
        [((d.name,), d.worker.last_progress_at) for d in deployments if d.worker is not None],
    )
