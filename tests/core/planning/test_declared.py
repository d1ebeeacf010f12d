"""Figures that an earlier configuration declared, against exact counts and published measurements.

The expected figures: 16 frames are 17; 10.5 GB for A14B only with 4-bit experts, model offload and a text encoder out
of the way (NF4 9.5 GiB, Q4_K_M 10.6 GiB); without offload 69 GB in bf16 and 22 GB in 4 bit; an fp8 expert 15.0 GiB;
6.3 GiB for 5B; 38.2 s impossible (172 s in bf16, 86 s in fp8 even at 115 % of the rate), reachable at 256 x 256 with 28
to 30 steps or at 480p with 6 to 8 steps without guidance; 720p with 81 frames about 10 GiB whatever the offload.
"""

import dataclasses
import re

import pytest

from tests.core.planning.parts import GIB
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.gpus import search_gpu
from wan_tui.core.catalog.profiles import find_profile
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.declared import Declared, check_declared, lower_bound_seconds
from wan_tui.core.planning.memory import estimate_memory
from wan_tui.core.planning.plan import Clip
from wan_tui.core.planning.planner import Room, Task, time_of
from wan_tui.core.planning.weights import all_bytes
from wan_tui.core.words import OffloadMode, Precision, Quantization

CARD = search_gpu("rtx 4080 16gb")
T2V, TI2V = load_catalogue().find("t2v-A14B"), load_catalogue().find("ti2v-5B")
SHORT = Clip(width=832, height=480, frames=17, steps=40, guidance=4.0)


def found(model: str, figure: str) -> Declared:
    (one,) = [one for one in check_declared() if one.model == model and figure in one.figure]
    return one


def gib(text: str) -> list[float]:
    return [float(size) for size in re.findall(r"([\d.]+) GiB", text)]


def steps(one: Declared, shape: str) -> tuple[int, int]:
    """Steps that are expected to be reachable, and at best."""
    (line,) = [line for line in one.reachable if shape in line]
    expected, best = re.findall(r"(\d+) steps", line)
    return int(expected), int(best)


def test_every_model_has_every_figure() -> None:
    assert {one.model for one in check_declared()} == {"t2v-A14B", "i2v-A14B", "ti2v-5B"}
    assert len(check_declared()) == 3 * 4


@pytest.mark.parametrize(("model", "declared"), [("t2v-A14B", 10.5), ("i2v-A14B", 11.0), ("ti2v-5B", 6.5)])
def test_the_declared_memory_holds_with_small_weights_and_the_text_encoder_out_of_the_way(
    model: str, declared: float
) -> None:
    one = found(model, f"{declared:g} GB of VRAM at 17 frames")
    assert one.holds
    assert gib(one.why)[0] <= declared
    assert "model offload" in one.why
    assert "text encoder" in one.why
    assert gib(one.why)[1] > declared, "16-bit weights need more"


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [(Quantization.NF4, 9.5), (Quantization.Q4_K_M, 10.6), (Quantization.FP8, 15.0)],
)
def test_one_expert_at_a_time(quantization: Quantization, expected: float) -> None:
    plan = dataclasses.replace(
        cpu_plan(),
        device="gpu:0",
        precision=Precision.BF16,
        offload=OffloadMode.MODEL,
        quantization=quantization,
        text_encoder_on_cpu=True,
        vae_tiling=True,
    )
    assert estimate_memory(T2V, plan, SHORT).peak_bytes / GIB == pytest.approx(expected, rel=0.08)


def test_without_offload_the_experts_alone_are_too_much_for_16_gb() -> None:
    one = found("t2v-A14B", "no offload on 16 GB")
    assert not one.holds
    sixteen, _, four = gib(one.why)
    assert sixteen * GIB == pytest.approx(69e9 + 2e9, rel=0.05)
    assert four == pytest.approx(22, rel=0.05)
    assert found("ti2v-5B", "no offload on 16 GB").holds


@pytest.mark.parametrize(("in_fp8", "bound"), [(False, 172), (True, 86)])
def test_38_seconds_break_a_bound(in_fp8: bool, bound: float) -> None:
    assert lower_bound_seconds(T2V, SHORT, CARD, in_fp8=in_fp8) == pytest.approx(bound, rel=0.02)
    assert not found("t2v-A14B", "38.2 s").holds
    assert not found("i2v-A14B", "42.5 s").holds


def test_what_the_declared_seconds_are_enough_for() -> None:
    one = found("t2v-A14B", "38.2 s")
    assert 27 <= steps(one, "256x256")[0] <= 31
    assert 6 <= steps(one, "without guidance")[0] <= 10
    small = found("ti2v-5B", "21.2 s")
    assert not small.holds, "not at 704p with 50 steps"
    expected, best = steps(small, "832x480, 17 frames, 17 steps with guidance")
    assert expected <= 30 <= best, "25 to 30 steps lie inside the interval"


@pytest.mark.parametrize("model", ["t2v-A14B", "i2v-A14B", "ti2v-5B"])
def test_the_declared_minima_hold_block_by_block_for_short_clips(model: str) -> None:
    one = found(model, "minimum 5 to 8.5 GB")
    assert one.holds
    least, largest = gib(one.why)
    assert least < 5
    if model != "ti2v-5B":
        assert largest == pytest.approx(10, rel=0.05)


def test_what_offload_keeps_on_the_host() -> None:
    plan = dataclasses.replace(cpu_plan(), precision=Precision.BF16, vae_precision=Precision.FP32)
    assert all_bytes(T2V, plan) == pytest.approx(69e9, rel=0.01)
    nf4 = dataclasses.replace(plan, quantization=Quantization.NF4, text_encoder_quantization=Quantization.NF4)
    assert all_bytes(T2V, nf4) == pytest.approx(22e9, rel=0.05)


def test_5b_in_eight_bit_takes_6_gib() -> None:
    plan = dataclasses.replace(
        cpu_plan(),
        device="gpu:0",
        precision=Precision.BF16,
        offload=OffloadMode.MODEL,
        quantization=Quantization.INT8,
        text_encoder_on_cpu=True,
        vae_tiling=True,
    )
    clip = Clip(width=1280, height=704, frames=17, steps=50, guidance=5.0)
    assert estimate_memory(TI2V, plan, clip).peak_bytes / GIB == pytest.approx(6.3, rel=0.05)
    room = Room(device="gpu:0", uuid=None, total_bytes=CARD.memory_bytes, free_bytes=CARD.memory_bytes, gpu=CARD)
    task = Task(model=TI2V, clip=clip, profile=find_profile("auto"))
    assert time_of(task, room, plan).total.low > 21.2
