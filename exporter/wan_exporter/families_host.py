"""Families about the exporter, the host and the catalogue: everything that is neither a GPU nor a deployment."""

import platform

from wan_exporter.families import Families, counter, gauge
from wan_tui.core.revision import revision
from wan_tui.core.snapshot import Snapshot


def host_families(snapshot: Snapshot) -> Families:
    yield from _software(snapshot)
    yield from _configuration(snapshot)
    yield from _host(snapshot)
    yield from _catalogue(snapshot)
    yield from _pollers(snapshot)


def _software(snapshot: Snapshot) -> Families:
    yield from gauge(
        "wantui_build_info",
        "Version and commit (empty where it is not known) of wan-tui, and version of the Python that runs it; the "
        "value is always 1.",
        ("version", "revision", "python_version"),
        [((snapshot.version, revision() or "", platform.python_version()), 1)],
    )
    workers = (deployment.worker for deployment in snapshot.deployments)
    runtimes = {
        (
            worker.torch_version or "",
            worker.diffusers_version or "",
            worker.transformers_version or "",
            worker.cuda_version or "",
        )
        for worker in workers
        if worker is not None and worker.torch_version
    }
    yield from gauge(
        "wantui_runtime_info",
        "Libraries that the running workers report, one series per distinct set; the value is always 1.",
        ("torch_version", "diffusers_version", "transformers_version", "cuda_version"),
        [(versions, 1) for versions in sorted(runtimes)],
    )


def _configuration(snapshot: Snapshot) -> Families:
    yield from gauge(
        "wantui_config_last_reload_successful",
        "1 when the configuration was last read without a mistake; 0 while an older one applies because of one.",
        (),
        [((), float(snapshot.config.last_reload_successful))],
    )
    yield from gauge(
        "wantui_config_last_reload_success_timestamp_seconds",
        "Unix time at which the configuration that applies was read.",
        (),
        [((), snapshot.config.last_success_at)],
    )


def _host(snapshot: Snapshot) -> Families:
    yield from gauge(
        "wantui_host_memory_available_bytes",
        "Host memory that can still be used, within the limits of the control group; offload plans count on it.",
        (),
        [((), snapshot.host.memory_available_bytes)],
    )
    yield from gauge(
        "wantui_storage_free_bytes",
        "Free space of the file system that holds the models, the outputs or the cache.",
        ("volume",),
        [((volume.volume,), volume.free_bytes) for volume in snapshot.host.volumes],
    )


def _catalogue(snapshot: Snapshot) -> Families:
    revisions = {files.model: files.revision for files in snapshot.model_files}
    yield from gauge(
        "wantui_model_info",
        "A model of the catalogue with its task, its published repository, and the commit of that at which its "
        "checkpoint on this host was downloaded (empty where it is not known); the value is always 1.",
        ("model", "task", "repo", "revision"),
        [((model.id, model.task, model.repository, revisions.get(model.id) or ""), 1) for model in snapshot.models],
    )
    yield from gauge(
        "wantui_model_files_missing",
        "Files that the checkpoint of a model lacks on this host, counted whenever all rules are evaluated. Absent for "
        "a model without a deployment and without a checkpoint here.",
        ("model",),
        [((files.model,), files.missing) for files in snapshot.model_files],
    )
    yield from gauge(
        "wantui_model_weights_bytes",
        "Size of the weight files of one component of a model, as published.",
        ("model", "component"),
        [((model.id, part.component), part.bytes) for model in snapshot.models for part in model.components],
    )


def _pollers(snapshot: Snapshot) -> Families:
    pollers = snapshot.pollers
    yield from counter(
        "wantui_poller_polls_total",
        "Polls that a background loop started since the engine started. Scrapes never poll: they read the last result.",
        ("poller",),
        [((poller.poller,), poller.polls) for poller in pollers],
    )
    yield from counter(
        "wantui_poller_failed_polls_total",
        "Polls of a background loop that failed or ran past their deadline.",
        ("poller",),
        [((poller.poller,), poller.failed_polls) for poller in pollers],
    )
    yield from gauge(
        "wantui_poller_last_success_timestamp_seconds",
        "Unix time of the last successful poll; absent before the first one.",
        ("poller",),
        [((poller.poller,), poller.last_success_at) for poller in pollers],
    )
    yield from gauge(
        "wantui_poller_last_duration_seconds",
        "How long the last poll took.",
        ("poller",),
        [((poller.poller,), poller.last_duration_seconds) for poller in pollers],
    )
    yield from gauge(
        "wantui_poller_interval_seconds",
        "Configured time between two polls.",
        ("poller",),
        [((poller.poller,), poller.interval_seconds) for poller in pollers],
    )
