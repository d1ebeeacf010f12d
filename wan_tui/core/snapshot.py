"""The one truth: an immutable, numbered picture of the host that screens, CLI, metrics and alerts share."""

import dataclasses
import functools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wan_tui.core.alerts.alert import Alert
from wan_tui.core.hardware.samples import DriverStatus, GpuSample, HostSample, PollerStatus
from wan_tui.core.runtime.state import DeploymentStatus, EventLog, Job
from wan_tui.core.validation.findings import Finding, ModelFiles

__all__ = ["ComponentSize", "ConfigStatus", "ModelFiles", "ModelSummary", "PollerStatus", "ProfileSummary", "Snapshot"]

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class ComponentSize:
    """Bytes of one component (transformer, text_encoder, …) as published on disk."""

    component: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """A catalogue entry, as far as a reader of the snapshot needs it to fill a form or a label."""

    id: str
    title: str
    task: str
    repository: str
    parameters: int
    components: tuple[ComponentSize, ...]
    size_multiple: int
    default_width: int
    default_height: int
    default_frames: int
    default_steps: int
    default_guidance: float
    max_frames: int
    max_pixels: int
    fps: int


@dataclass(frozen=True, slots=True)
class ProfileSummary:
    """A profile that a deployment can have: a built-in one, or one of the configuration."""

    name: str
    description: str
    cpu_only: bool = False


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """How the last reading of the configuration went. After a failure, told in ``problem``, the older one applies.

    ``file`` is the one that applies, or would if it were there (``exists``); ``findings`` are those of the
    configuration rules when they were last evaluated, and ``fixable`` says that some of them have a safe fix.
    """

    last_reload_successful: bool = True
    last_success_at: float | None = None
    problem: str | None = None
    file: str | None = None
    findings: tuple[Finding, ...] = ()
    fixable: bool = False
    exists: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything known at ``taken_at`` (Unix seconds). ``number`` grows by one per published snapshot."""

    number: int
    taken_at: float
    started_at: float
    version: str
    host: HostSample
    driver: DriverStatus
    gpus: tuple[GpuSample, ...]
    models: tuple[ModelSummary, ...]
    deployments: tuple[DeploymentStatus, ...]
    jobs: tuple[Job, ...]
    log: EventLog
    pollers: tuple[PollerStatus, ...]
    output_directory: str
    config: ConfigStatus = field(default_factory=ConfigStatus)
    profiles: tuple[ProfileSummary, ...] = ()
    alerts: tuple[Alert, ...] = ()
    gpus_expected: int | None = None
    model_files: tuple[ModelFiles, ...] = ()

    def deployment(self, name: str) -> DeploymentStatus | None:
        return next((d for d in self.deployments if d.name == name), None)

    def model(self, model_id: str) -> ModelSummary | None:
        return next((m for m in self.models if m.id == model_id), None)

    def job(self, job_id: str) -> Job | None:
        return next((j for j in self.jobs if j.id == job_id), None)

    def to_json(self, indent: int | None = None) -> str:
        """The JSON form: field names as here, enums as their value, absent figures as null."""
        return json.dumps(dataclasses.asdict(self), indent=indent, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Snapshot":
        """Read the JSON form back. Raises ``pydantic.ValidationError`` for anything else."""
        return _adapter().validate_json(text)


@functools.cache
def _adapter() -> "TypeAdapter[Snapshot]":
    # pydantic costs about 0.13 s of import: a process that only draws snapshots never pays it.
    from pydantic import TypeAdapter

    return TypeAdapter(Snapshot)
