"""``wan-tui.toml``: parsed, checked, frozen; and the built-in default that applies without one."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.profiles import Profile, TextEncoderPlace, built_in_profiles, profile_of
from wan_tui.core.config.environment import Override, overrides
from wan_tui.core.config.replicas import MAX_REPLICAS, replica_names
from wan_tui.core.config.template import DEFAULT_TEMPLATE, check_template
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.paths import config_file, default_paths
from wan_tui.core.words import AttentionBackend, LoraExpert, OffloadMode, Precision, Quantization, StepCache

DeploymentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]

FleetTarget = Annotated[str, StringConstraints(pattern=r"^(https?://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestDefaults(_Section):
    """What a request to a deployment asks for when it does not say; without a value the model's own default."""

    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    frames: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    guidance: float | None = Field(default=None, ge=0, le=100)


class ProfileSettings(_Section):
    """A profile of one's own: the options that plans may take. What is left out does not constrain."""

    description: str = ""
    device: Literal["any", "cpu"] = "any"
    precisions: list[Precision] | None = Field(default=None, min_length=1)
    quantizations: list[Quantization] | None = Field(default=None, min_length=1)
    text_encoders: list[TextEncoderPlace] | None = Field(default=None, min_length=1)
    offloads: list[OffloadMode] | None = Field(default=None, min_length=1)
    vae_tiling: bool | None = None
    vae_precision: Precision | None = None
    caches: list[StepCache] | None = Field(default=None, min_length=1)
    attentions: list[AttentionBackend] | None = Field(default=None, min_length=1)
    compile: bool | None = None
    memory_gib: float | None = Field(default=None, ge=1, le=1024)


def _weight_file(value: Path, suffixes: tuple[str, ...]) -> Path:
    """Whether it is there is judged later: a disk that is not mounted yet must not stop everything else."""
    try:
        path = value.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{error}; write the whole path") from None
    if path.suffix.casefold() not in suffixes:
        raise ValueError(f"ends not in {' or '.join(suffixes)}")
    return path


class LoraSettings(_Section):
    """Low-rank weights that are added to a model: a safetensors file, its factor, and the transformers it goes into."""

    path: Path
    weight: float = Field(default=1.0, ge=-10, le=10, allow_inf_nan=False)
    expert: LoraExpert = LoraExpert.BOTH

    @field_validator("path")
    @classmethod
    def _is_weights(cls, value: Path) -> Path:
        return _weight_file(value, (".safetensors",))


class DeploymentSettings(_Section):
    """One thing to run. ``device``: ``auto`` (where it fits and ends first, else the CPU), ``cpu`` or ``gpu:N``.

    ``keep_alive_seconds``: how long one that a job loaded stays after the last job; 0 not at all, -1 for ever.
    ``replicas``: so many workers share its queue, each a deployment of its own (``replicas.py``). ``replan``: whether
    its plan may change between two jobs when the device does.
    ``transformer`` (of the high noise) and ``transformer_2`` (of the low noise) are single files, GGUF or safetensors,
    in the place of the checkpoint's; everything else still comes from the checkpoint.
    ``attention``, ``cache`` and ``compile`` (torch.compile of the transformer blocks) decide what the profile leaves
    open, or decides otherwise; what this host cannot do is left out of the plan with a finding.
    """

    model: str
    profile: str = "auto"
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|gpu:\d{1,3})$")] = "auto"
    wanted_loaded: bool = False
    checkpoint: Path | None = None
    transformer: Path | None = None
    transformer_2: Path | None = None
    loras: list[LoraSettings] = Field(default_factory=list, max_length=16)
    attention: AttentionBackend | None = None
    cache: StepCache | None = None
    compile: bool | None = None
    keep_alive_seconds: float = Field(default=600, ge=-1, le=31_536_000)
    replicas: int = Field(default=1, ge=1, le=MAX_REPLICAS)
    replan: bool = True
    defaults: RequestDefaults = Field(default_factory=RequestDefaults)

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        try:
            return load_catalogue().find(value).id
        except UsageError as error:
            raise ValueError(str(error)) from None

    @field_validator("transformer", "transformer_2")
    @classmethod
    def _is_weights(cls, value: Path | None) -> Path | None:
        return None if value is None else _weight_file(value, (".gguf", ".safetensors"))

    @model_validator(mode="after")
    def _files_fit_the_experts(self) -> "DeploymentSettings":
        two = load_catalogue().find(self.model).experts > 1
        if self.transformer_2 is not None and not two:
            raise ValueError(f"{self.model} has one transformer: remove transformer_2")
        if not two and any(lora.expert is LoraExpert.LOW_NOISE for lora in self.loras):
            raise ValueError(f"{self.model} has one transformer: no LoRA can be for the low noise alone")
        quantized = [file is not None and file.suffix.casefold() == ".gguf" for file in self.files.values()]
        if two and any(quantized) and not all(quantized):
            raise ValueError("one plan is for both experts: give transformer and transformer_2 as GGUF, or none")
        return self

    @property
    def files(self) -> dict[str, Path | None]:
        """Single files by the role of the transformer that they replace."""
        return {"transformer": self.transformer, "transformer_2": self.transformer_2}


class PathSettings(_Section):
    """Directories: pocket models (``cache``), checkpoints (``models``), videos (``outputs``), ``history``.

    ``output_template`` names videos in ``outputs``, of {job} {deployment} {model} {seed} {date} {time} {width}
    {height} {frames} {index}; without {index} the videos of one request get it at the end.
    """

    cache: Path = Field(default_factory=lambda: default_paths().cache)
    models: Path = Field(default_factory=lambda: default_paths().data / "models")
    outputs: Path = Field(default_factory=lambda: default_paths().data / "outputs")
    history: Path = Field(default_factory=lambda: default_paths().data / "history.sqlite3")
    output_template: str = DEFAULT_TEMPLATE

    @field_validator("output_template")
    @classmethod
    def _is_template(cls, value: str) -> str:
        return check_template(value)

    @field_validator("cache", "models", "outputs", "history")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        try:
            return value.expanduser()
        except RuntimeError as error:
            raise ValueError(f"{error}; write the whole path") from None


class PollingSettings(_Section):
    """Seconds between two polls of the driver and host, and how long one driver call may take.

    ``expected_gpus``: how many this host has; without it as many as the driver counted first.
    """

    interval_seconds: float = Field(default=1.0, ge=0.1, le=60)
    deadline_seconds: float = Field(default=2.0, ge=0.1, le=60)
    expected_gpus: int | None = Field(default=None, ge=0, le=1024)


class ExporterSettings(_Section):
    """Where ``/metrics`` is served. ``port`` 0 takes a free one."""

    listen_address: str = "127.0.0.1"
    port: int = Field(default=12022, ge=0, le=65535)


class FleetSettings(_Section):
    """Other hosts with an exporter, as HOST:PORT or https://HOST:PORT: what its service discovery lists beside it."""

    targets: list[FleetTarget] = Field(default_factory=list, max_length=10_000)


class LimitSettings(_Section):
    """The most that this host may be asked for. ``max_vram_gib`` is the share of each GPU that plans may use."""

    max_vram_gib: float | None = Field(default=None, ge=1, le=1024)
    max_pixels: int | None = Field(default=None, ge=256)
    max_frames: int | None = Field(default=None, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    max_queued_jobs: int = Field(default=100, ge=1, le=10_000)


class ValidationSettings(_Section):
    """How often checkpoints, environment and catalogue are checked while the engine runs."""

    interval_seconds: float = Field(default=600, ge=10, le=86_400)


class SupervisionSettings(_Section):
    """When a worker counts as dead, and how often it is started again by itself within half an hour."""

    worker_silence_seconds: float = Field(default=60, ge=2, le=3600)
    load_stall_seconds: float = Field(default=300, ge=5, le=86_400)
    restarts: int = Field(default=5, ge=0, le=100)


class ReplanningSettings(_Section):
    """When a loaded deployment gets another plan, or another GPU, for its next job.

    What asks for it must last ``settle_seconds``, a plan is kept at least ``hold_seconds``, and unless the plan in
    force no longer fits, what waits must end sooner by at least ``gain_ratio`` of its time, loading again included.
    """

    enabled: bool = True
    settle_seconds: float = Field(default=20, ge=0, le=86_400)
    hold_seconds: float = Field(default=300, ge=0, le=31_536_000)
    gain_ratio: float = Field(default=0.15, ge=0, lt=1)


class AgentSettings(_Section):
    """How an agent ends: by itself when one that a face started is idle for so long (0: never), and how long what
    runs may take to finish when it is told to."""

    idle_exit_seconds: float = Field(default=600, ge=0, le=31_536_000)
    drain_seconds: float = Field(default=30, ge=0, le=86_400)


class UiSettings(_Section):
    """The terminal UI. ``keys`` gives actions other keys: ``"job.cancel" = "ctrl+k"``; see wan_tui/ui/KEYS.md.

    ``refresh_seconds`` is the least time between two pictures; ``slow_link`` means five seconds and no previews.
    """

    theme: Literal["dark", "light", "contrast", "colour-blind", "ansi"] | None = None
    refresh_seconds: float = Field(default=0.2, ge=0.05, le=60)
    slow_link: bool = False
    mouse: bool = False
    hosts: list[str] = Field(default_factory=list, max_length=1000)
    keys: dict[str, str] = Field(default_factory=dict)


class Settings(_Section):
    paths: PathSettings = Field(default_factory=PathSettings)
    polling: PollingSettings = Field(default_factory=PollingSettings)
    exporter: ExporterSettings = Field(default_factory=ExporterSettings)
    fleet: FleetSettings = Field(default_factory=FleetSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    validation: ValidationSettings = Field(default_factory=ValidationSettings)
    supervision: SupervisionSettings = Field(default_factory=SupervisionSettings)
    replanning: ReplanningSettings = Field(default_factory=ReplanningSettings)
    agent: AgentSettings = Field(default_factory=AgentSettings)
    ui: UiSettings = Field(default_factory=UiSettings)
    profiles: dict[DeploymentName, ProfileSettings] = Field(default_factory=dict)
    deployments: dict[DeploymentName, DeploymentSettings] = Field(default_factory=dict)

    @field_validator("deployments")
    @classmethod
    def _known_profiles(
        cls, value: dict[str, DeploymentSettings], info: ValidationInfo
    ) -> dict[str, DeploymentSettings]:
        known = {*built_in_profiles(), *info.data.get("profiles", {})}
        for name, deployment in value.items():
            if deployment.profile not in known:
                raise ValueError(f"{name}.profile: {unknown_name('profile', deployment.profile, known)}")
        return value

    @field_validator("deployments")
    @classmethod
    def _replicas_have_names_of_their_own(cls, value: dict[str, DeploymentSettings]) -> dict[str, DeploymentSettings]:
        for name, deployment in value.items():
            for replica in replica_names(name, deployment.replicas)[1:]:
                if replica in value:
                    raise ValueError(
                        f"{name}.replicas = {deployment.replicas} makes {replica}, which is configured too: rename one"
                    )
        return value

    @property
    def known_profiles(self) -> dict[str, Profile]:
        """The built-in profiles and those of this configuration, by name; one of a built-in name replaces that."""
        own = {name: profile_of(name, entry.model_dump(mode="json")) for name, entry in self.profiles.items()}
        return {**built_in_profiles(), **own}

    @property
    def replicas(self) -> dict[str, DeploymentSettings]:
        """What runs, by name: every deployment, and the further replicas of those that have some."""
        return {
            replica: deployment
            for name, deployment in self.deployments.items()
            for replica in replica_names(name, deployment.replicas)
        }

    @property
    def queues(self) -> dict[str, str]:
        """Of every replica the deployment whose jobs it runs."""
        return {
            replica: name
            for name, deployment in self.deployments.items()
            for replica in replica_names(name, deployment.replicas)
        }

    def deployment(self, name: str) -> DeploymentSettings:
        """Settings of one deployment. Raises UsageError for an unknown name."""
        if name not in self.deployments:
            raise unknown_name("deployment", name, self.deployments)
        return self.deployments[name]


_SCALAR_SECTIONS: dict[str, type[_Section]] = {
    "paths": PathSettings,
    "polling": PollingSettings,
    "exporter": ExporterSettings,
    "limits": LimitSettings,
    "validation": ValidationSettings,
    "supervision": SupervisionSettings,
    "replanning": ReplanningSettings,
    "agent": AgentSettings,
}


def default_settings() -> Settings:
    """One deployment for each official model, and ``pocket``, which runs anywhere."""
    official = [model for model in load_catalogue().models if model.weights == "checkpoint"]
    deployments = {model.id: DeploymentSettings(model=model.id) for model in official}
    return Settings(deployments={**deployments, "pocket": DeploymentSettings(model="t2v-pocket", profile="cpu")})


def scalar_keys() -> dict[str, list[str]]:
    """Sections and keys that an environment variable can set."""
    return {name: list(section.model_fields) for name, section in _SCALAR_SECTIONS.items()}


def load_settings(path: Path | None = None) -> Settings:
    """Settings from ``path`` or the default place; without a file the built-in default. The environment beats both.

    A file without deployments gets the default ones; ``.json`` is the older form.
    Raises UsageError naming file or variable, key, value and fix.
    """
    file = path or config_file()
    set_outside = overrides(scalar_keys())
    if file is None and not set_outside:
        return default_settings()
    data = {} if file is None else read_data(file)
    data.setdefault("deployments", default_settings().model_dump(exclude_none=True)["deployments"])
    for override in set_outside:
        section = data.setdefault(override.section, {})
        if isinstance(section, dict):
            section[override.key] = override.value
    return validated(data, file, set_outside)


def validated(data: dict[str, Any], file: Path | None, set_outside: tuple[Override, ...] = ()) -> Settings:
    """The settings that the tables of ``file`` mean. Raises UsageError naming file or variable, key, value and fix."""
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise UsageError(_first_problem(error, file, set_outside)) from None


def read_data(file: Path) -> dict[str, Any]:
    """The tables of a file, in today's form. Raises UsageError for one that cannot be read."""
    try:
        text = file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UsageError(f"configuration file {file} does not exist") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise WanTuiError(f"cannot read configuration file {file}: {error.strerror}") from None
    if file.suffix.casefold() == ".json":
        from wan_tui.core.config.legacy import read_legacy

        return read_legacy(file, text)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from None


def _first_problem(error: ValidationError, file: Path | None, set_outside: tuple[Override, ...]) -> str:
    problem = error.errors()[0]
    for override in set_outside:
        if problem["loc"] == (override.section, override.key):
            return f"environment variable {override.variable} = {override.value!r}: {problem['msg']}"
    return f"{file}: {_in_file(error)}"


def _in_file(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = [str(part) for part in problem["loc"] if part != "[key]"]
    key = ".".join(where)
    rest = "" if error.error_count() == 1 else f" (and {error.error_count() - 1} more)"
    if problem["type"] == "extra_forbidden":
        unknown = unknown_name("key", where[-1], known_keys(where[:-1]))
        return f"{key}: {unknown}{rest}"
    if problem["type"] == "missing":
        return f"{key}: missing; add it{rest}"
    return f"{key} = {problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}{rest}"


def known_keys(section: list[str]) -> list[str]:
    """Keys of a section, given as the parts of its name."""
    if len(section) == 3 and section[2] == "defaults":
        return list(RequestDefaults.model_fields)
    if len(section) == 4 and section[2] == "loras":
        return list(LoraSettings.model_fields)
    sections: dict[str, type[_Section]] = {"": Settings, **_SCALAR_SECTIONS, "deployments": DeploymentSettings}
    sections |= {"profiles": ProfileSettings, "fleet": FleetSettings}
    return list(sections[section[0] if section else ""].model_fields)
