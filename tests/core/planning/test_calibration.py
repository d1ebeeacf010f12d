"""Estimates move from the model to what this host shows: soon, robustly, level by level, and sure to a known degree."""

import math
import random
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_tui.core.planning.calibration import (
    EVIDENCE_LIMIT,
    LEAST_SPREAD,
    LOAD,
    SECONDS,
    Coverage,
    Observation,
    Subject,
    calibrate_memory,
    calibrate_time,
    coverage,
    plan_key,
    posterior,
    weighted_median,
)
from wan_tui.core.planning.linear import inverse
from wan_tui.core.planning.plan import (
    Bounds,
    Clip,
    ExecutionPlan,
    MemoryEstimate,
    PhaseMemory,
    StageSeconds,
    TimeEstimate,
)
from wan_tui.core.words import Basis, OffloadMode, Phase, Precision

SHAPES = [
    Clip(width=width, height=height, frames=frames, steps=steps, guidance=guidance)
    for width, height in ((480, 272), (832, 480), (1280, 720))
    for frames in (17, 49, 81)
    for steps in (8, 40)
    for guidance in (1.0, 5.0)
]
HERE = Subject(
    stage="vae_decode",
    device="NVIDIA H100 80 GiB",
    model="t2v-A14B",
    plan="precision=bf16",
    first=False,
    versions="driver 580 torch 2.9",
    clip=SHAPES[0],
)


def seen(ratio: float, *, modelled: float = 10.0, subject: Subject = HERE) -> Observation:
    return Observation(subject=subject, modelled=modelled, observed=ratio * modelled)


def ratio(*observations: Observation, subject: Subject = HERE) -> float:
    return math.exp(posterior(subject, observations, SECONDS).mean)


def test_without_a_run_it_is_the_model_within_a_factor_of_two() -> None:
    found = posterior(HERE, [], SECONDS)
    assert found.basis is Basis.MODELLED
    assert found.runs == 0
    bounds = found.bounds(10.0)
    assert bounds.expected == 10.0
    assert bounds.low == pytest.approx(5.0, rel=0.05)
    assert bounds.high == pytest.approx(20.0, rel=0.05)


def test_runs_move_it_from_the_model_to_what_was_seen() -> None:
    steps = [ratio(*[seen(2.0)] * number) for number in (0, 1, 3, 10)]
    assert steps == sorted(steps)
    assert steps[0] == 1.0
    assert 1.5 < steps[1] < 2.0
    assert steps[3] == pytest.approx(2.0, rel=0.04)
    assert posterior(HERE, [seen(2.0)] * 3, SECONDS).runs == 3
    assert posterior(HERE, [seen(2.0)] * 3, SECONDS).basis is Basis.CALIBRATED


def test_the_interval_narrows_with_evidence_but_never_below_its_floor() -> None:
    widths = [posterior(HERE, [seen(1.3)] * number, SECONDS).half_width for number in (0, 1, 2, 5, 20)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 3
    assert widths[-1] >= math.log1p(LEAST_SPREAD)
    tiny = replace(SECONDS, noise=1e-4)
    assert posterior(HERE, [seen(1.3)] * 30, tiny).half_width >= math.log1p(LEAST_SPREAD)


def test_the_interval_widens_when_runs_disagree() -> None:
    steady = posterior(HERE, [seen(1.0)] * 8, SECONDS)
    restless = posterior(HERE, [seen(value) for value in (0.6, 1.6) * 4], SECONDS)
    assert restless.half_width > 1.5 * steady.half_width


@pytest.mark.parametrize("place", [0, 3, 6])
def test_one_run_ten_times_too_long_hardly_counts(place: int) -> None:
    good = [seen(1.2 + 0.02 * (number % 3)) for number in range(6)]
    spoilt = [*good[:place], seen(12.0), *good[place:]]
    assert ratio(*spoilt) == pytest.approx(ratio(*good), rel=0.05)


def test_an_accident_at_the_very_beginning_is_over_after_two_good_runs() -> None:
    assert ratio(seen(1.0), seen(1.0), seen(10.0)) == pytest.approx(1.0, rel=0.15)


def test_what_is_far_off_every_time_is_believed() -> None:
    assert ratio(*[seen(6.0)] * 4) == pytest.approx(6.0, rel=0.12)


def test_nearer_runs_tell_more_level_by_level() -> None:
    levels = [
        replace(HERE, device="NVIDIA A100", model="ti2v-5B", plan="x", versions="y"),
        replace(HERE, model="ti2v-5B", plan="x"),
        replace(HERE, plan="x"),
        replace(HERE, clip=SHAPES[-1]),
        HERE,
    ]
    moved = [ratio(*[seen(1.5, subject=subject)] * 3) for subject in levels]
    assert moved == sorted(moved)
    assert 1.0 < moved[0] < 1.15
    assert moved[-1] > 1.4
    runs = [posterior(HERE, [seen(1.5, subject=subject)] * 3, SECONDS).runs for subject in levels]
    assert runs == [0, 3, 3, 3, 3], "another device alone leaves an estimate modelled"


def test_other_shapes_help_and_this_very_shape_decides() -> None:
    others = [seen(1.5, subject=replace(HERE, clip=clip)) for clip in SHAPES[1:9]]
    assert ratio(*others) == pytest.approx(1.5, rel=0.07)
    assert ratio(*[seen(1.2)] * 6, *others) == pytest.approx(1.2, rel=0.08)


def test_first_runs_and_warm_runs_are_apart() -> None:
    first = [seen(3.0, subject=replace(HERE, first=True))] * 5
    warm = [seen(1.1)] * 5
    assert ratio(*first) == 1.0
    assert ratio(*first, *warm) == ratio(*warm)
    assert ratio(*first, *warm, subject=replace(HERE, first=True)) > 2.5


def test_after_a_new_driver_the_old_runs_soon_count_less() -> None:
    old = [seen(2.0, subject=replace(HERE, versions="driver 570"))] * 20
    fresh = posterior(HERE, old, SECONDS)
    assert fresh.half_width > posterior(HERE, [seen(2.0)] * 20, SECONDS).half_width
    assert ratio(*[seen(1.5)] * 3, *old) == pytest.approx(1.5, rel=0.07)


def test_a_change_that_no_version_tells_of_is_followed() -> None:
    old = [seen(2.0)] * 60
    followed = [ratio(*[seen(1.3)] * number, *old) for number in (0, 5, 10, 20, 30)]
    assert followed == sorted(followed, reverse=True)
    assert followed[2] < 1.65, "half of the way after ten runs"
    assert followed[-1] == pytest.approx(1.3, rel=0.03)


def test_what_cannot_be_compared_is_left_out() -> None:
    useless = [seen(0.0), seen(math.inf), seen(math.nan), seen(1.0, modelled=0.0), seen(-1.0)]
    assert posterior(HERE, useless, SECONDS).runs == 0


def test_a_long_history_costs_no_more_than_a_short_one() -> None:
    many = [seen(1.4, subject=replace(HERE, clip=SHAPES[number % len(SHAPES)])) for number in range(2000)]
    assert posterior(HERE, many, SECONDS).runs == EVIDENCE_LIMIT


def host_runs(rng: random.Random, number: int, noise: float) -> list[Observation]:
    """A host that is 1.4 times as slow as modelled, more so for large frames, with noise; oldest first."""
    found = []
    for _ in range(number):
        clip = rng.choice(SHAPES)
        trend = 0.1 * math.log(clip.width * clip.height / (832 * 480))
        observed = math.exp(math.log(1.4) + trend + rng.gauss(0, noise))
        found.append(seen(observed, modelled=clip.frames * clip.width / 500, subject=replace(HERE, clip=clip)))
    return found


def predictions(runs: list[Observation], learning: int) -> list[tuple[Bounds, float]]:
    """Each run after the first few beside the interval that the runs before it gave."""
    return [
        (posterior(run.subject, runs[:number][::-1], SECONDS).bounds(run.modelled), run.observed)
        for number, run in enumerate(runs)
        if number >= learning
    ]


@pytest.mark.parametrize("noise", [0.03, 0.08])
def test_after_five_runs_of_changing_shapes_the_error_is_small_and_the_interval_true(noise: float) -> None:
    shown: list[tuple[Bounds, float]] = []
    for seed in range(12):
        shown += predictions(host_runs(random.Random(seed), 25, noise), learning=5)
    errors = [abs(observed / bounds.expected - 1) for bounds, observed in shown]
    assert statistics.median(errors) < 0.1
    covered = coverage(shown).ratio
    assert covered is not None
    assert 0.85 <= covered <= (1.0 if noise < 0.05 else 0.99), "stated noise is wider than a very steady host's"


def test_the_interval_learns_how_noisy_a_host_is() -> None:
    shown: list[tuple[Bounds, float]] = []
    for seed in range(8):
        shown += predictions(host_runs(random.Random(seed), 30, 0.2), learning=10)
    covered = coverage(shown).ratio
    assert covered is not None
    assert 0.8 <= covered <= 0.97


def test_a_run_of_ten_times_the_length_spoils_neither_error_nor_coverage() -> None:
    rng = random.Random(5)
    runs = host_runs(rng, 25, 0.05)
    runs[8] = replace(runs[8], observed=runs[8].observed * 10)
    after = predictions(runs, learning=9)
    assert statistics.median(abs(observed / bounds.expected - 1) for bounds, observed in after) < 0.08
    covered = coverage(after).ratio
    assert covered is not None
    assert covered >= 0.85


@given(
    st.lists(st.tuples(st.floats(1e-3, 1e3), st.sampled_from(SHAPES), st.booleans()), max_size=12),
    st.sampled_from([SECONDS, LOAD]),
)
def test_no_history_breaks_it(history: list[tuple[float, Clip, bool]], priors: object) -> None:
    runs = [seen(value, subject=replace(HERE, clip=clip, first=first)) for value, clip, first in history]
    bounds = posterior(HERE, runs, SECONDS if priors is SECONDS else LOAD).bounds(5.0)
    assert 0 < bounds.low < bounds.expected < bounds.high < math.inf


MODELLED = TimeEstimate(
    basis=Basis.MODELLED,
    total_seconds=Bounds(5.5, 11.0, 22.0),
    stages=(StageSeconds(Phase.DENOISE_HIGH_NOISE, 10.0), StageSeconds(Phase.VAE_DECODE, 1.0)),
)


def test_an_estimate_is_corrected_stage_by_stage() -> None:
    decode = [seen(3.0)] * 12
    found = calibrate_time(MODELLED, HERE, decode)
    denoise, vae = found.stages
    assert denoise.seconds == 10.0, "nothing is known of this stage"
    assert vae.seconds == pytest.approx(3.0, rel=0.05)
    assert vae.low is not None
    assert vae.high is not None
    assert vae.low < vae.seconds < vae.high
    assert found.total_seconds.expected == pytest.approx(13.0, rel=0.02)
    assert (found.basis, found.runs) == (Basis.CALIBRATED, 12)


def test_an_estimate_without_history_is_as_it_was_modelled() -> None:
    found = calibrate_time(MODELLED, HERE, [])
    assert (found.basis, found.runs) == (Basis.MODELLED, 0)
    assert found.total_seconds.expected == 11.0
    assert found.total_seconds.high == pytest.approx(22.0, rel=0.05)


def test_the_doubt_of_a_rough_model_stays_until_a_better_one_comes() -> None:
    rough = replace(MODELLED, total_seconds=Bounds(2.2, 11.0, 55.0))
    assert calibrate_time(rough, HERE, []).total_seconds.high == pytest.approx(55.0, rel=0.05)


def test_memory_is_corrected_in_its_activations_and_never_below_the_weights() -> None:
    gib = 2**30
    phases = (
        PhaseMemory(phase=Phase.TEXT_ENCODE, weights_bytes=11 * gib, activation_bytes=gib, context_bytes=gib // 2),
        PhaseMemory(phase=Phase.VAE_DECODE, weights_bytes=gib, activation_bytes=9 * gib, context_bytes=gib // 2),
    )
    modelled = MemoryEstimate(
        basis=Basis.MODELLED, loaded_bytes=gib, peak_bytes=phases[0].total_bytes, host_bytes=0, phases=phases
    )
    assert calibrate_memory(modelled, HERE, []) is modelled
    decode = Observation(subject=HERE, modelled=phases[1].total_bytes, observed=1.5 * phases[1].total_bytes)
    found = calibrate_memory(modelled, HERE, [decode] * 10)
    assert (found.basis, found.runs) == (Basis.CALIBRATED, 10)
    assert found.phases[0] == phases[0]
    assert found.phases[1].weights_bytes == gib
    assert found.peak_bytes == found.phases[1].total_bytes
    assert found.peak_bytes == pytest.approx(1.5 * phases[1].total_bytes, rel=0.03)
    empty = Observation(subject=HERE, modelled=phases[1].total_bytes, observed=1.0)
    assert calibrate_memory(modelled, HERE, [empty] * 10).phases[1].activation_bytes == 0


def test_coverage_counts_what_fell_inside() -> None:
    shown = Bounds(1.0, 2.0, 3.0)
    assert coverage([(shown, 1.0), (shown, 3.0), (shown, 3.1)]) == Coverage(2, 3)
    assert coverage([]).ratio is None


def test_a_plan_is_known_by_what_changes_its_speed_not_by_its_place() -> None:
    plan = ExecutionPlan(
        device="gpu:0",
        gpu_uuid="GPU-1",
        precision=Precision.BF16,
        vae_precision=Precision.FP32,
        offload=OffloadMode.MODEL,
        vae_tiling=True,
    )
    assert plan_key(plan) == plan_key(replace(plan, device="gpu:3", gpu_uuid="GPU-4"))
    assert plan_key(plan) != plan_key(replace(plan, vae_tiling=False))
    assert "device" not in plan_key(plan)
    assert "offload=model" in plan_key(plan)


def test_the_weighted_median_is_the_value_with_half_the_weight_on_either_side() -> None:
    assert weighted_median([3.0, 1.0, 2.0], [1.0, 1.0, 1.0]) == 2.0
    assert weighted_median([3.0, 1.0, 2.0], [5.0, 1.0, 1.0]) == 3.0


def test_a_matrix_times_its_inverse_is_one() -> None:
    matrix = [[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]]
    back = inverse(matrix)
    product = [[sum(matrix[i][k] * back[k][j] for k in range(3)) for j in range(3)] for i in range(3)]
    assert product == [pytest.approx([1.0 if i == j else 0.0 for j in range(3)], abs=1e-12) for i in range(3)]
    with pytest.raises(ValueError, match="positive definite"):
        inverse([[1.0, 2.0], [2.0, 1.0]])
