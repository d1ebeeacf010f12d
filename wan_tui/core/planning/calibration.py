"""From the modelled figure towards what this host has shown: a posterior over observed / modelled, and its coverage.

The logarithm of observed / modelled is taken for a sum of independent deviations, one per thing that two runs can
share: the stage, and below it the device, the model, the plan, the shape (near ones resemble each other), the
versions of driver and libraries; and noise. Each has a stated prior spread, so the best estimate given any runs, and
how sure it is, follow exactly (kriging): without runs it is the model, with many of this very shape their robust
mean, and in between it is shrunk level by level. Seconds and bytes go through the same machinery.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wan_tui.core.planning.linear import dot, inverse, product
from wan_tui.core.planning.plan import (
    Bounds,
    Clip,
    ExecutionPlan,
    MemoryEstimate,
    StageSeconds,
    TimeEstimate,
)
from wan_tui.core.words import Basis

# The most telling runs of a stage are enough: the cost grows with the cube (32: two milliseconds).
EVIDENCE_LIMIT = 32
# A run counts half as much after this many newer ones of its model on its device.
HALF_LIFE_RUNS = 12
# Student's t for noise: a residual of many deviations is an accident and hardly counts.
ROBUST_FREEDOM = 4.0
ROBUST_ROUNDS = 4
# Where residuals are cut off to learn how noisy a host is, and what that leaves of a normal variance.
CUT_DEVIATIONS = 2.0
CUT_SHARE = 0.9205
# What the stated spreads are worth, in runs, against what the residuals say about them.
SPREAD_WORTH_RUNS = 4.0
# No interval is narrower than this either way, whatever the evidence: the machine does other work too.
LEAST_SPREAD = 0.05
# Factors that make two clips rather different. The frame's size decides which kernels run and what fits into caches;
# frames and steps repeat them. The last is the distance between one pass a step (no guidance) and two.
DIFFERENT_PIXELS = 3.0
DIFFERENT_FRAMES = 10.0
DIFFERENT_STEPS = 100.0
DIFFERENT_PASSES = 0.33
NORMAL_90 = 1.6449


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a figure is about, level by level. ``first`` is the first run after a load, which also pays for warm-up.

    ``device`` is a product name, so that history survives a reboot and a moved card. ``plan`` and ``versions`` are
    keys: equal text, equal thing. A load has no ``clip``.
    """

    stage: str
    device: str
    model: str
    plan: str
    first: bool
    versions: str
    clip: Clip | None = None


def plan_key(plan: ExecutionPlan) -> str:
    """What of a plan changes its speed and size: everything but which of the host's devices it is on.

    What is as by default is left out, so that a plan keeps its key when later versions know more options.
    """
    return " ".join(
        f"{item.name}={getattr(plan, item.name)}"
        for item in dataclasses.fields(plan)
        if item.name not in ("device", "gpu_uuid") and getattr(plan, item.name) != item.default
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One finished stage (seconds) or phase (bytes): what the model said and what happened, in one unit."""

    subject: Subject
    modelled: float
    observed: float

    @property
    def usable(self) -> bool:
        return 0 < self.modelled < math.inf and 0 < self.observed < math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """Standard deviations of log(observed / modelled), level by level: 0.1 is about ten per cent.

    ``near_shape`` is shared by clips that resemble each other: wholly by equal ones, to 60 % by ones that differ
    by one of the ``DIFFERENT_`` factors.
    """

    stage: float
    device: float
    model: float
    plan: float
    near_shape: float
    shape: float
    versions: float
    noise: float

    @property
    def variance(self) -> float:
        """Of a figure that no run has corrected yet."""
        levels = (self.stage, self.device, self.model, self.plan, self.near_shape, self.shape, self.versions)
        return sum(level**2 for level in levels) + self.noise**2


# 90 % within a factor of two of the model (1.645 x 0.42 = log 2).
SECONDS = Priors(stage=0.14, device=0.18, model=0.2, plan=0.1, near_shape=0.25, shape=0.04, versions=0.08, noise=0.08)
# Formats and layers are known exactly, allocators and workspaces are not: 90 % within 30 %.
BYTES = Priors(stage=0.06, device=0.05, model=0.1, plan=0.06, near_shape=0.06, shape=0.02, versions=0.04, noise=0.02)
# A disk, a page cache, a network file system: 90 % within a factor of five.
LOAD = Priors(stage=0.5, device=0.5, model=0.5, plan=0.2, near_shape=0.0, shape=0.0, versions=0.1, noise=0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """Log of observed / modelled as believed now: ``mean`` and standard ``deviation`` of the next run.

    ``freedom`` counts what the deviation rests on (Student's t); ``runs`` are those of this device that were used.
    """

    mean: float
    deviation: float
    freedom: float
    runs: int

    @property
    def basis(self) -> Basis:
        return Basis.CALIBRATED if self.runs else Basis.MODELLED

    @property
    def half_width(self) -> float:
        """Half of the 90 % interval, as a log ratio."""
        # Student's quantile, Cornish and Fisher's first term.
        quantile = NORMAL_90 + (NORMAL_90**3 + NORMAL_90) / (4 * self.freedom)
        return max(quantile * self.deviation, math.log1p(LEAST_SPREAD))

    def bounds(self, modelled: float) -> Bounds:
        """The 90 % interval around the corrected figure, in the unit of ``modelled``."""
        expected = modelled * math.exp(self.mean)
        spread = math.exp(self.half_width)
        return Bounds(expected / spread, expected, expected * spread)


def posterior(
    subject: Subject, observations: Sequence[Observation], priors: Priors, model_variance: float = 0.0
) -> Posterior:
    """What ``observations`` (newest first; of any stage, device and model) say about ``subject``.

    ``model_variance`` is that of the modelled figure itself where it says more than ``priors``: runs were compared
    with better models, so they cannot take it away.
    """
    doubt = max(0.0, model_variance - priors.variance)
    evidence = _evidence(subject, observations, priors)
    runs = sum(item.observation.subject.device == subject.device for item in evidence)
    if not evidence:
        return Posterior(mean=0.0, deviation=math.sqrt(priors.variance + doubt), freedom=math.inf, runs=0)
    ratios = [math.log(item.observation.observed / item.observation.modelled) for item in evidence]
    shared = _covariances([item.observation.subject for item in evidence], priors)
    noise = [priors.noise**2 / item.recency for item in evidence]
    trust, scale = _first_trust(evidence, ratios, priors), 4.0
    for _ in range(ROBUST_ROUNDS):
        solved = inverse(
            [
                [value + (noise[i] / trust[i] if i == j else 0.0) for j, value in enumerate(row)]
                for i, row in enumerate(shared)
            ]
        )
        pulled = product(solved, ratios)
        # Each run against what the others say about it, with the noise of a new one.
        variances = [1 / solved[i][i] - noise[i] / trust[i] + priors.noise**2 for i in range(len(evidence))]
        squares = [(pulled[i] / solved[i][i]) ** 2 / variances[i] for i in range(len(evidence))]
        scale = _scale(squares, [item.recency for item in evidence], scale)
        trust = [_trust(square / scale) for square in squares]
    towards = [item.covariance for item in evidence]
    variance = priors.variance - dot(towards, product(solved, towards))
    return Posterior(
        mean=dot(towards, pulled),
        deviation=math.sqrt(max(variance, priors.noise**2) * scale + doubt),
        freedom=SPREAD_WORTH_RUNS + sum(item.recency for item in evidence),
        runs=runs,
    )


@dataclass(frozen=True, slots=True)
class _Evidence:
    observation: Observation
    covariance: float
    recency: float


def _evidence(subject: Subject, observations: Sequence[Observation], priors: Priors) -> list[_Evidence]:
    """The usable runs of this stage and warmth that tell most about ``subject``."""
    newer: Counter[tuple[str, str]] = Counter()
    found = []
    for observation in observations:
        about = observation.subject
        if about.stage != subject.stage or about.first != subject.first or not observation.usable:
            continue
        recency = 0.5 ** (newer[about.device, about.model] / HALF_LIFE_RUNS)
        newer[about.device, about.model] += 1
        found.append(_Evidence(observation, _covariance(subject, about, priors), recency))
    return sorted(found, key=lambda item: item.covariance * item.recency, reverse=True)[:EVIDENCE_LIMIT]


def _covariance(a: Subject, b: Subject, priors: Priors) -> float:
    """What two runs of one stage share."""
    total = priors.stage**2
    if a.device != b.device:
        return total
    total += priors.device**2
    if a.versions == b.versions:
        total += priors.versions**2
    if a.model != b.model:
        return total
    total += priors.model**2
    if a.plan != b.plan:
        return total
    total += priors.plan**2 + priors.near_shape**2 * _resemblance(a.clip, b.clip)
    return total + (priors.shape**2 if a.clip == b.clip else 0.0)


def _covariances(subjects: Sequence[Subject], priors: Priors) -> list[list[float]]:
    matrix = [[0.0] * len(subjects) for _ in subjects]
    for i, one in enumerate(subjects):
        for j in range(i + 1):
            matrix[i][j] = matrix[j][i] = _covariance(one, subjects[j], priors)
    return matrix


def _resemblance(a: Clip | None, b: Clip | None) -> float:
    """From 1 (equal) towards 0. What has no clip (a load) is always alike."""
    if a is None or b is None or a == b:
        return 1.0 if a == b else 0.0
    distances = (
        math.log((a.width * a.height) / (b.width * b.height)) / math.log(DIFFERENT_PIXELS),
        math.log(a.frames / b.frames) / math.log(DIFFERENT_FRAMES),
        math.log(a.steps / b.steps) / math.log(DIFFERENT_STEPS),
        ((a.guidance > 1.0) - (b.guidance > 1.0)) * DIFFERENT_PASSES,
    )
    return math.exp(-0.5 * sum(distance**2 for distance in distances))


def _trust(square: float) -> float:
    return min(1.0, (ROBUST_FREEDOM + 1) / (ROBUST_FREEDOM + square))


def _scale(squares: Sequence[float], weights: Sequence[float], before: float) -> float:
    """How much larger the residuals are than stated, as a variance; accidents are cut off (Huber's proposal 2)."""
    seen = sum(
        weight * min(square, CUT_DEVIATIONS**2 * before) for square, weight in zip(squares, weights, strict=True)
    )
    return (SPREAD_WORTH_RUNS + seen / CUT_SHARE) / (SPREAD_WORTH_RUNS + sum(weights))


def _first_trust(evidence: Sequence[_Evidence], ratios: Sequence[float], priors: Priors) -> list[float]:
    """Trust by the distance from the weighted median: an accident must not speak for itself."""
    centre = weighted_median(ratios, [item.covariance * item.recency for item in evidence])
    spread = priors.near_shape**2 + priors.shape**2 + priors.noise**2
    return [_trust((ratio - centre) ** 2 / spread) for ratio in ratios]


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The value with half of the weight on either side."""
    half, passed = sum(weights) / 2, 0.0
    for value, weight in sorted(zip(values, weights, strict=True)):
        passed += weight
        if passed >= half:
            return value
    raise ValueError("no values")


def calibrate_time(
    modelled: TimeEstimate, subject: Subject, observations: Sequence[Observation], priors: Priors = SECONDS
) -> TimeEstimate:
    """``modelled`` corrected stage by stage. ``subject`` names all but the stage; ``observations`` newest first."""
    variance = _variance_of(modelled.total_seconds)
    found = [
        posterior(dataclasses.replace(subject, stage=stage.stage), observations, priors, variance)
        for stage in modelled.stages
    ]
    bounds = [one.bounds(stage.seconds) for one, stage in zip(found, modelled.stages, strict=True)]
    stages = tuple(
        StageSeconds(stage.stage, bound.expected, bound.low, bound.high)
        for stage, bound in zip(modelled.stages, bounds, strict=True)
    )
    return TimeEstimate(
        basis=Basis.CALIBRATED if any(one.runs for one in found) else modelled.basis,
        runs=max((one.runs for one in found), default=0),
        report=modelled.report,
        total_seconds=_total(bounds) if bounds else modelled.total_seconds,
        stages=stages,
    )


def calibrate_memory(
    modelled: MemoryEstimate, subject: Subject, observations: Sequence[Observation], priors: Priors = BYTES
) -> MemoryEstimate:
    """``modelled`` with the activations of each phase corrected so that its total is as observed here.

    The rest keeps its figures: weights are counted, not estimated.
    """
    phases, runs = [], 0
    for phase in modelled.phases:
        found = posterior(dataclasses.replace(subject, stage=phase.phase), observations, priors)
        change = round(phase.total_bytes * (math.exp(found.mean) - 1))
        phases.append(dataclasses.replace(phase, activation_bytes=max(phase.activation_bytes + change, 0)))
        runs = max(runs, found.runs)
    if not runs:
        return modelled
    peak = max(phase.total_bytes for phase in phases)
    return dataclasses.replace(modelled, basis=Basis.CALIBRATED, runs=runs, peak_bytes=peak, phases=tuple(phases))


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of ``runs`` observations fell inside the interval that was shown before them."""

    inside: int
    runs: int

    @property
    def ratio(self) -> float | None:
        return self.inside / self.runs if self.runs else None


def coverage(shown: Iterable[tuple[Bounds, float]]) -> Coverage:
    """Coverage of intervals, each with what was observed: a 90 % interval should hold 90 % of them."""
    hits = [bounds.low <= observed <= bounds.high for bounds, observed in shown]
    return Coverage(sum(hits), len(hits))


def _total(stages: Sequence[Bounds]) -> Bounds:
    """Sum of the stages. Their errors are taken to go together: a busy machine is slow at every stage."""
    return Bounds(
        low=sum(stage.low for stage in stages),
        expected=sum(stage.expected for stage in stages),
        high=sum(stage.high for stage in stages),
    )


def _variance_of(bounds: Bounds) -> float:
    """Of the logarithm, from a 90 % interval."""
    if not 0 < bounds.expected < bounds.high:
        return 0.0
    return (math.log(bounds.high / bounds.expected) / NORMAL_90) ** 2
