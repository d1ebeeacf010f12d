"""Typed view of ``models.toml`` and ``components.toml``."""

import functools
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from wan_tui.core.errors import unknown_name
from wan_tui.core.paths import default_paths
from wan_tui.core.words import Feature, Precision, Quantization

NAMESPACE = "wan_implementation"


class Task(StrEnum):
    TEXT_TO_VIDEO = "text-to-video"
    IMAGE_TO_VIDEO = "image-to-video"
    TEXT_AND_IMAGE_TO_VIDEO = "text-and-image-to-video"

    @property
    def needs_image(self) -> bool:
        return self is Task.IMAGE_TO_VIDEO

    @property
    def takes_image(self) -> bool:
        return self is not Task.TEXT_TO_VIDEO


class Weights(StrEnum):
    """Where a model's weights come from: a downloaded checkpoint, or the built-in pocket model."""

    CHECKPOINT = "checkpoint"
    POCKET = "pocket"


# Compared by identity (there is one catalogue): so both can key a cache.
@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One network of a model: its class, constructor arguments and exact number of parameters."""

    name: str
    class_name: str
    parameters: int
    fp32_parameters: int
    published: Precision
    config: MappingProxyType[str, Any]

    def bytes(self, precision: Precision) -> int:
        """Bytes of the weights in ``precision``; what diffusers keeps in fp32 counts as fp32."""
        kept = self.fp32_parameters * Precision.FP32.bytes_per_parameter
        return kept + (self.parameters - self.fp32_parameters) * precision.bytes_per_parameter

    @property
    def published_bytes(self) -> int:
        return self.parameters * self.published.bytes_per_parameter


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A catalogue entry. Sizes are (width, height) pixels; frames follow the 4k+1 rule."""

    id: str
    title: str
    task: Task
    repository: str
    weights: Weights
    transformer: Component
    experts: int
    boundary_ratio: float | None
    expand_timesteps: bool
    text_encoder: Component
    vae: Component
    flow_shift: float
    fps: int
    size_multiple: int
    default_size: tuple[int, int]
    default_frames: int
    default_steps: int
    default_guidance: float
    default_guidance_low_noise: float | None
    max_pixels: int
    max_frames: int
    precisions: tuple[Precision, ...]
    quantizations: tuple[Quantization, ...]
    features: tuple[Feature, ...]

    @property
    def canonical_id(self) -> str:
        return f"{NAMESPACE}:{self.id}"

    @property
    def names(self) -> frozenset[str]:
        """Everything that this model is called, in lower case: ``t2v-a14b``, ``wan2.2-t2v-a14b``, the repository, …"""
        short = self.repository.split("/")[-1]
        known = {self.id, self.canonical_id, self.repository, short}
        return frozenset(name.casefold() for name in known | {name.removesuffix("-Diffusers") for name in known})

    @property
    def components(self) -> tuple[tuple[str, Component], ...]:
        """(role in the diffusers pipeline, component), in the order in which the pipeline uses them."""
        second = (("transformer_2", self.transformer),) if self.experts == 2 else ()
        return (("text_encoder", self.text_encoder), ("transformer", self.transformer), *second, ("vae", self.vae))

    @property
    def parameters(self) -> int:
        return sum(component.parameters for _, component in self.components)

    def nearest_side(self, pixels: int) -> int:
        """The nearest width or height that the model makes, halves up."""
        return max((pixels + self.size_multiple // 2) // self.size_multiple, 1) * self.size_multiple

    @staticmethod
    def nearest_frames(frames: int) -> int:
        """The nearest number of the form 4k+1, halves up."""
        return max((frames + 1) // 4, 0) * 4 + 1

    def latent_frames(self, frames: int) -> int:
        return (frames - 1) // int(self.vae.config["scale_factor_temporal"]) + 1

    def tokens(self, width: int, height: int, frames: int) -> int:
        """Length of the transformer's sequence: N = ((F-1)/4+1) * H/(2s) * W/(2s), s the VAE's spatial stride."""
        patch = int(self.vae.config["scale_factor_spatial"]) * 2
        return self.latent_frames(frames) * (height // patch) * (width // patch)


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: tuple[Model, ...]

    def find(self, name: str) -> Model:
        """The model called ``name``: short id, canonical id, repository, or the name that it was published under.

        Any case; with or without the owner and ``-Diffusers``.

        Raises UsageError with the nearest known ids.
        """
        wanted = name.casefold()
        for model in self.models:
            if wanted in model.names:
                return model
        raise unknown_name("model", name, (model.id for model in self.models))


def load_catalogue() -> Catalogue:
    """The built-in models, and those that the user added in ``models.toml`` of the configuration directory.

    Read once; raises UsageError for a file that says something else.
    """
    return _load(default_paths().config / "models.toml")


@functools.cache
def _load(user_file: Path) -> Catalogue:
    components = {
        name: Component(
            name=name,
            class_name=entry["class"],
            parameters=entry["parameters"],
            fp32_parameters=entry["fp32_parameters"],
            published=Precision(entry["published"]),
            config=MappingProxyType(entry["config"]),
        )
        for name, entry in _read("components.toml").items()
    }
    entries = _read("models.toml")
    if user_file.exists():
        # pydantic costs about 0.13 s of import: only who has models of his own pays it.
        from wan_tui.core.catalog.user_models import read_user_models

        entries |= read_user_models(user_file, entries)
    return Catalogue(tuple(_model(name, entry, components) for name, entry in entries.items()))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text("utf-8"))


def _model(name: str, entry: dict[str, Any], components: dict[str, Component]) -> Model:
    typed = {
        "task": Task(entry["task"]),
        "weights": Weights(entry["weights"]),
        "transformer": components[entry["transformer"]],
        "text_encoder": components[entry["text_encoder"]],
        "vae": components[entry["vae"]],
        "precisions": tuple(map(Precision, entry["precisions"])),
        "quantizations": tuple(map(Quantization, entry["quantizations"])),
        "features": tuple(map(Feature, entry["features"])),
        "default_size": (entry["default_size"][0], entry["default_size"][1]),
        "boundary_ratio": entry.get("boundary_ratio"),
        "default_guidance_low_noise": entry.get("default_guidance_low_noise"),
    }
    return Model(**{**entry, **typed, "id": name})
