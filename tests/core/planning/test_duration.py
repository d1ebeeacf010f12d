"""The time model of a device that was measured: exact counts, honest intervals."""

import pytest

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.planning.duration import DeviceRate, estimate_time
from wan_tui.core.planning.flops import forward_flop
from wan_tui.core.planning.plan import TimeEstimate
from wan_tui.core.words import Basis, Phase

CATALOGUE = load_catalogue()
RATE = DeviceRate(
    text_encode_seconds=0.5,
    forward_floor_seconds=0.01,
    forward_flop_per_second=4e14,
    decode_floor_seconds=0.02,
    decode_pixels_per_second=2e6,
)


def estimate(**changes: float) -> TimeEstimate:
    values = {"width": 832, "height": 480, "frames": 81, "steps": 40, "guidance": 4.0, **changes}
    return estimate_time(CATALOGUE.find("t2v-A14B"), RATE, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "size", "frames", "steps", "petaflop"),
    [  # a default run: both passes of guidance, as counted on the diffusers modules
        ("t2v-A14B", (832, 480), 17, 40, 19.3),
        ("t2v-A14B", (832, 480), 81, 40, 134),
        ("t2v-A14B", (1280, 720), 81, 40, 522),
        ("ti2v-5B", (1280, 704), 17, 50, 4.7),
        ("ti2v-5B", (1280, 704), 121, 50, 52),
    ],
)
def test_operations_of_a_default_run(
    model: str, size: tuple[int, int], frames: int, steps: int, petaflop: float
) -> None:
    entry = CATALOGUE.find(model)
    assert 2 * steps * forward_flop(entry, entry.tokens(*size, frames)) / 1e15 == pytest.approx(petaflop, rel=0.01)


def test_guidance_doubles_the_passes() -> None:
    def denoising(guidance: float) -> float:
        return sum(s.seconds for s in estimate(guidance=guidance).stages if s.stage.startswith("denoise"))

    assert denoising(4.0) == pytest.approx(2 * denoising(1.0))


def test_stages_add_up_and_both_experts_take_steps() -> None:
    answer = estimate()
    assert sum(stage.seconds for stage in answer.stages) == pytest.approx(answer.total_seconds.expected)
    assert [stage.stage for stage in answer.stages] == [
        Phase.TEXT_ENCODE,
        Phase.DENOISE_HIGH_NOISE,
        Phase.DENOISE_LOW_NOISE,
        Phase.VAE_DECODE,
        Phase.WRITE_OUTPUT,
    ]
    assert all(stage.seconds > 0 for stage in answer.stages)


def test_more_work_never_takes_less_time() -> None:
    for name, values in (("frames", range(1, 82, 8)), ("steps", range(1, 50, 7)), ("width", range(256, 1281, 128))):
        seconds = [estimate(**{name: value}).total_seconds.expected for value in values]
        assert seconds == sorted(seconds)


def test_a_modelled_estimate_is_wide() -> None:
    modelled = estimate()
    assert modelled.basis is Basis.MODELLED
    assert modelled.total_seconds.high == pytest.approx(2 * modelled.total_seconds.expected)


def test_a_picture_is_encoded_before_the_first_step() -> None:
    plain, pictured = estimate(), estimate(with_image=True)
    (encode,) = [stage for stage in pictured.stages if stage.stage is Phase.IMAGE_ENCODE]
    assert 0 < encode.seconds < next(s.seconds for s in plain.stages if s.stage is Phase.VAE_DECODE)
    assert pictured.total_seconds.expected == pytest.approx(plain.total_seconds.expected + encode.seconds)
