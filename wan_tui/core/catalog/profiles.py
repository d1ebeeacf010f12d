"""Typed view of ``profiles.toml``: what a plan may be made of."""

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any

from wan_tui.core.errors import unknown_name
from wan_tui.core.words import AttentionBackend, OffloadMode, Precision, Quantization, StepCache


class TextEncoderPlace(StrEnum):
    """Where the text encoder computes and how it is stored there."""

    DEVICE = "device"
    NF4 = "nf4"
    HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The options that a plan may take; ``memory_gib`` is the most that it may take of a card."""

    name: str
    description: str = ""
    cpu_only: bool = False
    precisions: tuple[Precision, ...] = tuple(Precision)
    quantizations: tuple[Quantization, ...] = tuple(Quantization)
    text_encoders: tuple[TextEncoderPlace, ...] = tuple(TextEncoderPlace)
    offloads: tuple[OffloadMode, ...] = tuple(OffloadMode)
    vae_tiling: bool | None = None
    vae_precision: Precision = Precision.FP32
    caches: tuple[StepCache, ...] = (StepCache.NONE,)
    attentions: tuple[AttentionBackend, ...] = (AttentionBackend.SDPA,)
    compile: bool = False
    memory_gib: float | None = None


def profile_of(name: str, entry: Mapping[str, Any]) -> Profile:
    """A profile from a table of the file. Raises ValueError for a word that is none."""
    given: dict[str, Any] = {"name": name, "cpu_only": entry.get("device") == "cpu"}
    for key, words in (
        ("precisions", Precision),
        ("quantizations", Quantization),
        ("text_encoders", TextEncoderPlace),
        ("offloads", OffloadMode),
        ("caches", StepCache),
        ("attentions", AttentionBackend),
    ):
        if entry.get(key) is not None:
            given[key] = _in_order(words, entry[key])
    for key in ("description", "vae_tiling", "compile", "memory_gib"):
        if entry.get(key) is not None:
            given[key] = entry[key]
    if entry.get("vae_precision") is not None:
        given["vae_precision"] = Precision(entry["vae_precision"])
    return Profile(**given)


def _in_order(words: type[StrEnum], chosen: Iterable[str]) -> tuple[StrEnum, ...]:
    wanted = {words(word) for word in chosen}
    return tuple(word for word in words if word in wanted)


@functools.cache
def built_in_profiles() -> Mapping[str, Profile]:
    """The profiles of the file, read once, in its order."""
    data = tomllib.loads(resources.files(__package__).joinpath("profiles.toml").read_text("utf-8"))
    return {name: profile_of(name, entry) for name, entry in data.items()}


def find_profile(name: str, more: Mapping[str, Profile] | None = None) -> Profile:
    """The profile called ``name``, one of ``more`` first. Raises UsageError with the nearest names."""
    known = {**built_in_profiles(), **(more or {})}
    if name not in known:
        raise unknown_name("profile", name, known)
    return known[name]
