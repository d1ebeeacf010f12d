"""Validates what an operator names, or everything: configuration, host, models, deployments, checkpoints."""

import functools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from wan_tui import __version__
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.checkpoints import find_checkpoint
from wan_tui.core.config import DeploymentSettings, Settings, load_settings
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.hardware.look import look
from wan_tui.core.hardware.samples import HardwareSample, HostSample
from wan_tui.core.paths import config_file
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.validation.configuration import judge_configuration
from wan_tui.core.validation.deployment import judge_deployment
from wan_tui.core.validation.environment import host_abilities, installed_libraries, judge_host, judge_room
from wan_tui.core.validation.judgement import Judgement, not_judged
from wan_tui.core.validation.lora_file import lora_parameters
from wan_tui.core.validation.options import judge_options, toolchain
from wan_tui.core.validation.recognise import guess_model
from wan_tui.core.validation.report import Kind, Report, Subject
from wan_tui.core.validation.rulebook.rules import Group
from wan_tui.core.validation.subjects import judge_checkpoint, judge_model
from wan_tui.core.validation.transformer_file import files_quantization


def inspect(config: Path | None, targets: tuple[str, ...] = (), *, hardware: bool = False) -> Report:
    """Judge ``targets``: names of deployments or models, configuration files, checkpoint folders or files.

    Without any: the configuration that applies, this host, every downloadable model, and the deployments that are
    wanted loaded. ``hardware`` judges models and all deployments against this host as well.
    Raises UsageError for a target that is none of these.
    """
    inspection = _Inspection(config, hardware)
    subjects = inspection.named(targets) if targets else inspection.everything()
    return Report(subjects=tuple(subjects), taken_at=time.time(), version=__version__)


class _Inspection:
    """What one validation needs more than once: the settings, the hardware, the checkpoints already read."""

    def __init__(self, config: Path | None, with_hardware: bool) -> None:
        self._file = config or config_file()
        self._with_hardware = with_hardware
        self._of_configuration = judge_configuration(self._file)
        try:
            self._settings = load_settings(config)
        except WanTuiError:
            if self._of_configuration.valid:
                raise
            # Its findings say why; what does not depend on it is judged all the same.
            self._settings = Settings()
        self._checkpoints: dict[tuple[str, Path | None], Judgement] = {}

    @functools.cached_property
    def _look(self) -> tuple[HardwareSample, HostSample]:
        paths = self._settings.paths
        return look({"models": paths.models, "outputs": paths.outputs})

    def everything(self) -> Iterator[Subject]:
        yield self._configuration(self._file, self._of_configuration)
        yield self._host()
        for model in load_catalogue().models:
            if model.weights == "checkpoint":
                yield self._model(model)
        for name, deployment in self._settings.deployments.items():
            if deployment.wanted_loaded or self._with_hardware:
                yield self._deployment(name, deployment)

    def named(self, targets: Iterable[str]) -> Iterator[Subject]:
        for target in targets:
            yield from self._named(target)

    def _named(self, target: str) -> Iterator[Subject]:
        """A deployment may be called as its model: then both are meant."""
        deployment = self._settings.deployments.get(target)
        model = _model_called(target)
        path = Path(target)
        if deployment is not None or model is not None:
            if model is not None:
                yield self._model(model)
            if deployment is not None:
                yield self._deployment(target, deployment)
        elif path.suffix.casefold() in (".toml", ".json") and path.exists():
            yield self._configuration(path, judge_configuration(path))
        elif path.exists():
            yield self._path(path)
        else:
            names = dict.fromkeys([*self._settings.deployments, *(entry.id for entry in load_catalogue().models)])
            raise UsageError(f"{unknown_name('target', target, names)}; a file or folder is a target too")

    def _configuration(self, file: Path | None, judgement: Judgement) -> Subject:
        name = "built in" if file is None else str(file)
        return Subject(
            kind=Kind.CONFIGURATION, name=name, judgement=judgement, place=None if file is None else str(file)
        )

    def _host(self) -> Subject:
        hardware, host = self._look
        judgement = judge_host(installed_libraries(), hardware.driver, host)
        return Subject(kind=Kind.HOST, name=host.hostname, judgement=judgement)

    def _model(self, model: Model) -> Subject:
        folder = find_checkpoint(model, self._settings.paths.models)
        judgement = judge_model(model, limits=self._settings.limits) + self._checkpoint(model, folder)
        compatibility = None
        if self._with_hardware:
            hardware, _ = self._look
            if hardware.driver.present:
                compatibility, found = self._on_this_host(
                    f"model {model.id}", model, DeploymentSettings(model=model.id), folder
                )
                judgement += found
            else:
                judgement += not_judged(Group.HARDWARE, "no NVIDIA driver on this host")
        return Subject(
            kind=Kind.MODEL,
            name=model.id,
            judgement=judgement,
            place=None if folder is None else str(folder),
            compatibility=compatibility,
        )

    def _checkpoint(self, model: Model, path: Path | None) -> Judgement:
        if (model.id, path) not in self._checkpoints:
            self._checkpoints[model.id, path] = judge_checkpoint(model, path)
        return self._checkpoints[model.id, path]

    def _path(self, path: Path) -> Subject:
        model = guess_model(path, load_catalogue().models)
        if model is None:
            known = "the checkpoint of no model that is known"
            raise UsageError(f"{path} is {known}: name the model with wan-tui check MODEL {path}")
        return Subject(
            kind=Kind.MODEL, name=f"{model.id} in {path}", judgement=self._checkpoint(model, path), place=str(path)
        )

    def _deployment(self, name: str, settings: DeploymentSettings) -> Subject:
        model = load_catalogue().find(settings.model)
        folder = find_checkpoint(model, self._settings.paths.models, settings.checkpoint)
        compatibility, found = self._on_this_host(f"deployment {name}", model, settings, folder)
        judgement = judge_model(model, name=name, defaults=settings.defaults, limits=self._settings.limits)
        return Subject(
            kind=Kind.DEPLOYMENT,
            name=name,
            judgement=judgement + found + judge_checkpoint(model, folder, settings),
            place=None if folder is None else str(folder),
            compatibility=compatibility,
        )

    def _on_this_host(
        self, where: str, model: Model, settings: DeploymentSettings, folder: Path | None
    ) -> tuple[Compatibility, Judgement]:
        hardware, host = self._look
        found = assess(
            model,
            settings,
            hardware,
            host,
            limits=self._settings.limits,
            profiles=self._settings.known_profiles,
            abilities=host_abilities(installed_libraries()),
            fixed=files_quantization(settings.files),
            lora_parameters=lora_parameters(settings.loras),
        )
        plan, profile = found.plan, self._settings.known_profiles[settings.profile]
        tools = toolchain(for_gpus=plan is None or plan.device != "cpu")
        options = judge_options(where, settings, profile, plan, installed_libraries(), tools)
        wanted = settings.wanted_loaded or where.startswith("model")
        return found, judge_deployment(where, model, found, folder, wanted_loaded=wanted) + judge_room(
            where, model, found, has_weights=folder is not None or model.weights == "pocket", host=host
        ) + options


def _model_called(name: str) -> Model | None:
    try:
        return load_catalogue().find(name)
    except UsageError:
        return None
