"""What real GPUs were measured to do of what the model says: the files of ``reference``, one for each GPU.

    device = "NVIDIA A100-SXM4-80GB"
    report = "report-a100.jsonl"

    [stages.ti2v-5B.vae_decode]
    factor = 1.12
    spread = 1.08
    shapes = 5

``factor`` is observed over modelled seconds of a stage. The true figure lies within the factor ``spread`` of what
follows: the worst error for a shape that was not fitted to.
"""

import dataclasses
import functools
import math
import statistics
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from wan_tui.core.planning.plan import Bounds

if TYPE_CHECKING:
    from wan_tui.core.planning.roofline import RooflineEstimate, StageCost

# So few shapes say nothing of others.
LEAST_SHAPES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFactor:
    """Observed over modelled seconds. ``spread`` is None where the model's own doubt remains."""

    factor: float
    spread: float | None
    shapes: int

    def bounds(self, modelled: Bounds) -> Bounds:
        """``modelled`` seconds as measured: narrower where the spread was measured too."""
        low, expected, high = (end * self.factor for end in (modelled.low, modelled.expected, modelled.high))
        if self.spread is None:
            return Bounds(low, expected, high)
        return Bounds(max(low, expected / self.spread), expected, min(high, expected * self.spread))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The measurements of one GPU, by model and stage. ``report`` names the files that they are from."""

    device: str
    report: str
    stages: Mapping[str, Mapping[str, StageFactor]]

    def of(self, model: str, stage: str) -> StageFactor | None:
        """For a model that was not measured the mean of those that were, as doubtful as the model alone."""
        found = self.stages.get(model, {}).get(stage)
        if found is not None:
            return found
        others = [one[stage] for one in self.stages.values() if stage in one]
        if not others:
            return None
        factor = math.exp(statistics.fmean(math.log(one.factor) for one in others))
        return StageFactor(factor=factor, spread=None, shapes=sum(one.shapes for one in others))


def reference_of(device: str) -> Reference | None:
    """The measurements of the GPU that NVML calls ``device``, None when no report of it is committed."""
    return _built_in().get(device)


@functools.cache
def _built_in() -> Mapping[str, Reference]:
    return read_references(resources.files(__package__) / "reference")


def read_references(folder: Traversable) -> dict[str, Reference]:
    """By device, from the TOML files of ``folder``. Raises ValueError naming file and fault."""
    return {one.device: one for one in _read(folder)}


def _read(folder: Traversable) -> Iterator[Reference]:
    for file in folder.iterdir():
        if not file.name.endswith(".toml"):
            continue
        try:
            data = tomllib.loads(file.read_text("utf-8"))
            stages = {
                model: {stage: _factor(found) for stage, found in by_stage.items()}
                for model, by_stage in data["stages"].items()
            }
            yield Reference(device=data["device"], report=data["report"], stages=stages)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file.name}: no measurements of a GPU ({error}): write it again with refit") from None


def _factor(found: Mapping[str, float]) -> StageFactor:
    factor, spread, shapes = float(found["factor"]), float(found["spread"]), int(found["shapes"])
    if not (0 < factor < math.inf and 1 <= spread < math.inf and shapes >= LEAST_SHAPES):
        raise ValueError(f"factor {factor:g}, spread {spread:g} of {shapes} shapes")
    return StageFactor(factor=factor, spread=spread, shapes=shapes)


def corrected(modelled: "RooflineEstimate", model: str, reference: Reference) -> "RooflineEstimate":
    """``modelled`` as far as such a card was measured to take longer or shorter for its stages."""
    found = {stage.stage: reference.of(model, stage.stage) for stage in modelled.stages}
    known = {stage: one for stage, one in found.items() if one is not None}
    if not known:
        return modelled
    return dataclasses.replace(
        modelled,
        stages=tuple(
            _scaled(stage, known[stage.stage]) if stage.stage in known else stage for stage in modelled.stages
        ),
        step_seconds=tuple(
            (phase, known[phase].bounds(step) if phase in known else step) for phase, step in modelled.step_seconds
        ),
        factors=tuple((stage, one.factor) for stage, one in known.items()),
        report=reference.report,
    )


def _scaled(stage: "StageCost", by: StageFactor) -> "StageCost":
    return dataclasses.replace(
        stage,
        compute_seconds=stage.compute_seconds * by.factor,
        memory_seconds=stage.memory_seconds * by.factor,
        transfer_seconds=stage.transfer_seconds * by.factor,
        seconds=by.bounds(stage.seconds),
    )
