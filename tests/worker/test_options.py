"""Every execution option that a processor can run, on the pocket model: what it makes is held against plain fp32.

The floors are peak signal-to-noise ratios of the decoded frames in dB, a few below what each option reaches; an option
that only moves weights or work has to give every frame bit for bit.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.worker.runs import MODEL, SHAPE, Run, load, made, psnr, run, write_gguf
from wan_tui.core.planning.step_cache import computed_passes
from wan_tui.core.runtime.protocol import Lora
from wan_tui.core.words import LoadFailureReason, OffloadMode, Phase, Precision, Quantization, StepCache
from wan_tui.worker import compiling
from wan_tui.worker.load import LoadedModel, LoadError

EXACT = math.inf
BF16 = {"precision": Precision.BF16}


@pytest.fixture(scope="module")
def plain(pocket_cache: Path) -> np.ndarray:
    return made(load(pocket_cache))


TABLE: list[tuple[str, dict[str, Any], float]] = [
    ("bf16", BF16, 48),
    ("fp16", {"precision": Precision.FP16}, 57),
    ("fp8 storage", {**BF16, "quantization": Quantization.FP8}, 37),
    (
        "fp8 storage with leaf offload",
        {**BF16, "quantization": Quantization.FP8, "offload": OffloadMode.GROUP_LEAF},
        37,
    ),
    ("int8", {**BF16, "quantization": Quantization.INT8}, 47),
    ("int4", {**BF16, "quantization": Quantization.INT4}, 27),
    ("VAE in bf16", {"vae_precision": Precision.BF16}, 41),
    ("block offload", {"offload": OffloadMode.GROUP_BLOCK}, EXACT),
    ("leaf offload", {"offload": OffloadMode.GROUP_LEAF}, EXACT),
    ("model offload, which a processor has not", {"offload": OffloadMode.MODEL}, EXACT),
    ("text encoder on the host", {"text_encoder_on_cpu": True}, EXACT),
    ("text encoder on the host, leaf offload", {"text_encoder_on_cpu": True, "offload": OffloadMode.GROUP_LEAF}, EXACT),
    ("VAE tiling of a clip that is one tile", {"vae_tiling": True}, EXACT),
    ("VAE slicing of one clip", {"vae_slicing": True}, EXACT),
]


@pytest.mark.parametrize(("changes", "floor"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_frames_are_those_of_fp32_but_for_what_the_option_costs(
    pocket_cache: Path, plain: np.ndarray, changes: dict[str, Any], floor: float
) -> None:
    found = psnr(made(load(pocket_cache, **changes)), plain)
    assert found >= floor
    if changes.get("quantization"):
        assert found < EXACT, "the option had no effect"


@pytest.mark.parametrize(("kind", "floor"), [("Q8_0", 50), ("Q4_0", 23)])
def test_weights_of_a_gguf_file(tmp_path: Path, pocket_cache: Path, plain: np.ndarray, kind: str, floor: float) -> None:
    high, low = write_gguf(pocket_cache, tmp_path, kind)
    stored = Quantization.Q8_0 if kind == "Q8_0" else Quantization.Q4_K_M
    loaded = load(pocket_cache, quantization=stored, transformer=str(high), transformer_2=str(low))
    assert floor <= psnr(made(loaded), plain) < EXACT


def test_a_lora_of_weight_0_changes_nothing_and_one_of_weight_1_does(
    tmp_path: Path, pocket_cache: Path, plain: np.ndarray
) -> None:
    width = MODEL.transformer.config["num_attention_heads"] * MODEL.transformer.config["attention_head_dim"]
    generator = torch.Generator().manual_seed(1)
    low_rank = {
        f"transformer.blocks.{block}.attn1.to_q.lora_{half}.weight": torch.randn(shape, generator=generator)
        for block in range(MODEL.transformer.config["num_layers"])
        for half, shape in (("A", (4, width)), ("B", (width, 4)))
    }
    file = tmp_path / "style.safetensors"
    save_file(low_rank, file)
    nothing, all_of_it = (made(load(pocket_cache, loras=(Lora(path=str(file), weight=w),))) for w in (0.0, 1.0))
    assert psnr(nothing, plain) == EXACT
    assert psnr(all_of_it, plain) < EXACT


def test_tiles_overlap_and_blend(pocket_cache: Path) -> None:
    """A clip of several tiles: the seams are blended, so the frames are near and not equal."""
    size = {"width": 320, "height": 64, "frames": 5}
    whole, tiled = (made(load(pocket_cache, vae_tiling=tiling), **size) for tiling in (False, True))
    assert 31 <= psnr(tiled, whole) < EXACT


# -- step caches ------------------------------------------------------------------------------------------------------

STEPS = 12


@pytest.fixture(scope="module")
def long(pocket_cache: Path) -> np.ndarray:
    """Plain frames after as many steps as a cache needs to skip some."""
    return made(load(pocket_cache), steps=STEPS)


def passes(loaded: LoadedModel) -> dict[Phase, int]:
    """Counts passes of the second block of each expert, from now on; two a step with guidance."""
    counted = {Phase.DENOISE_HIGH_NOISE: 0, Phase.DENOISE_LOW_NOISE: 0}
    for phase, expert in zip(counted, (loaded.pipeline.transformer, loaded.pipeline.transformer_2), strict=True):

        def count(*_: object, phase: Phase = phase) -> None:
            counted[phase] += 1

        expert.blocks[1].attn1.to_q.register_forward_hook(count)
    return counted


def steps_of(found: Run) -> dict[Phase, int]:
    """How many steps each expert took."""
    return {phase: found.experts.count(phase) for phase in (Phase.DENOISE_HIGH_NOISE, Phase.DENOISE_LOW_NOISE)}


@pytest.mark.parametrize("cache", [StepCache.TAYLOR_SEER, StepCache.FIRST_BLOCK])
def test_as_many_passes_run_as_the_planner_counts(pocket_cache: Path, long: np.ndarray, cache: StepCache) -> None:
    loaded = load(pocket_cache, cache=cache)
    counted = passes(loaded)
    before = dict(counted)
    for _ in range(2):  # nothing of a run is left for the next
        found = run(loaded, steps=STEPS)
        for phase, steps in steps_of(found).items():
            expected = computed_passes(cache, steps, MODEL.transformer.config["num_layers"])
            ran = (counted[phase] - before[phase]) / 2
            assert psnr(found.frames, long) >= 28
            if cache is StepCache.TAYLOR_SEER:
                assert ran == expected.expected
            else:
                assert expected.low - 1 <= ran <= expected.high
        before = dict(counted)


def test_magcache_measures_the_model_once_and_then_skips(tmp_path: Path, pocket_cache: Path) -> None:
    def fresh() -> LoadedModel:
        loaded = load(pocket_cache, cache=StepCache.MAG)
        loaded.caches._file = tmp_path / "ratios.json"
        return loaded

    loaded = fresh()
    loaded.caches._ratios.clear()
    counted = passes(loaded)
    first = run(loaded, steps=STEPS)
    assert first.finished.measuring == (Phase.DENOISE_HIGH_NOISE, Phase.DENOISE_LOW_NOISE)
    assert counted == {phase: 2 * steps for phase, steps in steps_of(first).items()}, "it computes all to measure"
    before = dict(counted)
    second = run(loaded, steps=STEPS)
    assert second.finished.measuring == ()
    for phase, steps in steps_of(second).items():
        bounds = computed_passes(StepCache.MAG, steps, MODEL.transformer.config["num_layers"])
        assert bounds.low <= (counted[phase] - before[phase]) / 2 <= bounds.high
    assert sum(counted.values()) - sum(before.values()) < sum(before.values()), "some passes were skipped"
    assert psnr(second.frames, first.frames) >= 28
    assert (tmp_path / "ratios.json").exists(), "the next load need not measure"


# -- torch.compile ----------------------------------------------------------------------------------------------------


def test_compiled_blocks_compute_the_same_and_compiling_is_no_part_of_the_stages(
    pocket_cache: Path, plain: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through torch's tracing alone, which takes no compiler and little time; the slow test goes all the way."""
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    torch._dynamo.reset()
    found = run(load(pocket_cache, compile=True))
    assert psnr(found.frames, plain) >= 60
    assert found.finished.compile_seconds > 0
    denoising = sum(stage.seconds for stage in found.finished.stages if stage.stage.startswith("denoise"))
    assert denoising + found.finished.compile_seconds < found.finished.seconds + 0.01


@pytest.mark.slow
def test_compiled_to_machine_code(pocket_cache: Path, plain: np.ndarray) -> None:
    torch._dynamo.reset()
    loaded = load(pocket_cache, compile=True)
    assert psnr(run(loaded).frames, plain) >= 50
    assert run(loaded).finished.compile_seconds == 0, "once is enough"


def test_a_failing_compiler_is_a_reason_and_no_traceback() -> None:
    def broken() -> None:
        raise RuntimeError("InductorError: g++ not found\nset TORCHDYNAMO_VERBOSE=1")

    with pytest.raises(LoadError) as refused:
        compiling.compile_now(broken)
    assert refused.value.reason is LoadFailureReason.ENVIRONMENT
    assert str(refused.value).endswith("use compile = false in the deployment")
    assert "\n" not in str(refused.value)


# -- several videos at once -------------------------------------------------------------------------------------------


def test_videos_made_at_once_are_those_of_following_seeds_and_repeat_exactly(
    tmp_path: Path, pocket_cache: Path, plain: np.ndarray
) -> None:
    loaded = load(pocket_cache)
    both, again = (run(loaded, videos=2, folder=tmp_path / name) for name in "ab")
    assert psnr(both.clips[0], plain) >= 50, "the first is what it is alone, but for the order of sums"
    assert psnr(both.clips[1], run(loaded, seed=SHAPE["seed"] + 1).frames) >= 50
    assert psnr(both.clips[0], both.clips[1]) < 50
    assert [clip.tobytes() for clip in both.clips] == [clip.tobytes() for clip in again.clips]
    assert [(one["video"], one["seed"]) for one in both.sidecars] == [(1, 1), (2, 2)]
    assert [one["frames_sha256"] for one in both.sidecars] == [one["frames_sha256"] for one in again.sidecars]


# -- what is switched on, and what is missing here --------------------------------------------------------------------


def test_tiling_and_slicing_are_switched_on(pocket_cache: Path) -> None:
    vae = load(pocket_cache, vae_tiling=True, vae_slicing=True).pipeline.vae
    assert vae.use_tiling
    assert vae.use_slicing


def test_8_bit_weights_are_8_bit_in_memory(pocket_cache: Path) -> None:
    loaded = load(pocket_cache, **BF16, quantization=Quantization.FP8)
    kinds = {weight.dtype for name, weight in loaded.pipeline.transformer.named_parameters() if "attn1.to_q" in name}
    assert kinds == {torch.float8_e4m3fn}


@pytest.mark.parametrize("changes", [{"quantization": Quantization.NF4}, {"quantization": Quantization.Q4_K_M}])
def test_what_this_host_cannot_quantize_is_a_reason_and_no_traceback(
    pocket_cache: Path, changes: dict[str, Any]
) -> None:
    refused = refusal(lambda: load(pocket_cache, **BF16, **changes))
    assert refused.reason is LoadFailureReason.ENVIRONMENT, str(refused)
    assert "\n" not in str(refused)


def test_a_missing_attention_library_is_a_reason_with_a_fix(pocket_cache: Path) -> None:
    from wan_tui.core.words import AttentionBackend

    for backend in (AttentionBackend.FLASH, AttentionBackend.XFORMERS, AttentionBackend.SAGE):
        refused = refusal(lambda backend=backend: load(pocket_cache, attention=backend))  # type: ignore[misc]
        assert refused.reason is LoadFailureReason.ENVIRONMENT, str(refused)
        assert 'use attention = "sdpa"' in str(refused)


def refusal(work: Callable[[], object]) -> LoadError:
    with pytest.raises(LoadError) as refused:
        work()
    return refused.value


def test_the_plan_is_what_the_worker_was_told(pocket_cache: Path) -> None:
    loaded = load(pocket_cache, cache=StepCache.TAYLOR_SEER, vae_slicing=True)
    assert dataclasses.asdict(loaded.plan)["cache"] == "taylor_seer"
    assert not loaded.pipeline.transformer.is_cache_enabled, "measuring the device needs the whole network"
