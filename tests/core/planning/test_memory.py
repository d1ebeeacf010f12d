"""The memory model against what was published and measured."""

import pytest

from tests.core.planning.parts import GIB
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.planning.memory import estimate_memory, weights_bytes
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.words import OffloadMode, Phase, Precision

CATALOGUE = load_catalogue()


def plan(offload: OffloadMode = OffloadMode.NONE, *, tiling: bool = False, device: str = "gpu:0") -> ExecutionPlan:
    return ExecutionPlan(
        device=device,
        gpu_uuid=None if device == "cpu" else "GPU-0",
        precision=Precision.BF16,
        vae_precision=Precision.FP32,
        offload=offload,
        vae_tiling=tiling,
    )


def test_one_clean_published_run() -> None:
    """RTX 4090, diffusers, TI2V-5B 1280x704x73, model offload, VAE tiling: 12.54 GiB observed."""
    estimate = estimate_memory(CATALOGUE.find("ti2v-5B"), plan(OffloadMode.MODEL, tiling=True), 1280, 704, 73)
    assert estimate.peak_bytes / GIB == pytest.approx(12.54, rel=0.1)


@pytest.mark.parametrize(
    ("model", "size", "frames", "gib"),
    [("t2v-A14B", (1280, 720), 81, 7.99), ("t2v-A14B", (832, 480), 81, 3.47)],
)
def test_activations_of_one_pass_match_the_run_on_meta_tensors(
    model: str, size: tuple[int, int], frames: int, gib: float
) -> None:
    phases = {p.phase: p for p in estimate_memory(CATALOGUE.find(model), plan(), *size, frames).phases}
    assert phases[Phase.DENOISE_HIGH_NOISE].activation_bytes / GIB == pytest.approx(gib, rel=0.01)


@pytest.mark.parametrize(
    ("model", "size", "gib"),
    [("t2v-A14B", (832, 480), 7.6), ("t2v-A14B", (1280, 720), 17.55), ("ti2v-5B", (1280, 704), 19.3)],
)
def test_decode_depends_on_the_frame_area_alone(model: str, size: tuple[int, int], gib: float) -> None:
    for frames in (17, 81):
        phases = {p.phase: p for p in estimate_memory(CATALOGUE.find(model), plan(), *size, frames).phases}
        assert phases[Phase.VAE_DECODE].activation_bytes / GIB == pytest.approx(gib, rel=0.01)


def test_the_peak_is_the_largest_phase_and_offload_only_ever_lowers_it() -> None:
    for model in CATALOGUE.models:
        width, height = model.default_size
        ladder = [
            estimate_memory(model, plan(offload, tiling=tiling), width, height, model.default_frames)
            for offload, tiling in (
                (OffloadMode.NONE, False),
                (OffloadMode.NONE, True),
                (OffloadMode.MODEL, True),
                (OffloadMode.SEQUENTIAL, True),
            )
        ]
        peaks = [estimate.peak_bytes for estimate in ladder]
        assert peaks == sorted(peaks, reverse=True)
        for estimate in ladder:
            assert estimate.peak_bytes == max(phase.total_bytes for phase in estimate.phases)


def test_more_frames_or_pixels_never_need_less() -> None:
    model = CATALOGUE.find("t2v-A14B")
    peaks = [estimate_memory(model, plan(tiling=True), 832, 480, frames).peak_bytes for frames in range(1, 82, 8)]
    assert peaks == sorted(peaks)
    peaks = [estimate_memory(model, plan(), width, 480, 81).peak_bytes for width in range(256, 1281, 64)]
    assert peaks == sorted(peaks)


def test_weights_lie_on_the_device_or_on_the_host() -> None:
    model = CATALOGUE.find("t2v-A14B")
    everything = weights_bytes(model, plan())
    assert everything / GIB == pytest.approx(26.67 * 2 + 10.58 + 0.47, rel=0.01)
    resident = estimate_memory(model, plan(), 832, 480, 81)
    assert (resident.host_bytes, resident.loaded_bytes > everything) == (0, True)
    offloaded = estimate_memory(model, plan(OffloadMode.MODEL), 832, 480, 81)
    assert (offloaded.host_bytes, offloaded.loaded_bytes < GIB) == (everything, True)
    assert estimate_memory(model, plan(device="cpu"), 832, 480, 81).host_bytes == everything
