"""Activation memory: what each phase holds, and that asking for more never predicts less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.planning.activations import (
    decode_bytes,
    denoise_bytes,
    denoise_held_bytes,
    encode_image_bytes,
    stored,
    text_encode_bytes,
)
from wan_tui.core.words import Precision

CATALOGUE = load_catalogue()
GIB = 2**30
MODELS = st.sampled_from(CATALOGUE.models)
PRECISIONS = st.sampled_from(Precision)


def test_every_network_of_the_catalogue_has_coefficients() -> None:
    used = {component.name for model in CATALOGUE.models for _, component in model.components}
    assert set(stored()) == used | {"made_with"}
    assert {"torch", "diffusers", "transformers"} <= set(stored()["made_with"])


@pytest.mark.parametrize(
    ("model", "size", "frames", "gib"),
    [
        ("t2v-A14B", (832, 480), 81, 3.49),
        ("t2v-A14B", (1280, 720), 81, 8.03),
        ("ti2v-5B", (1280, 704), 121, 5.09),
    ],
)
def test_denoising_a_default_clip(model: str, size: tuple[int, int], frames: int, gib: float) -> None:
    entry = CATALOGUE.find(model)
    assert denoise_bytes(entry, tokens=entry.tokens(*size, frames)) / GIB == pytest.approx(gib, rel=0.01)


@pytest.mark.parametrize(
    ("model", "size", "frames", "precision", "tiled", "gib"),
    [
        ("t2v-A14B", (1280, 720), 81, Precision.FP32, False, 17.55),
        ("t2v-A14B", (1280, 720), 81, Precision.BF16, False, 9.11),
        ("t2v-A14B", (1280, 720), 81, Precision.FP32, True, 3.92),
    ],
)
def test_decoding_a_large_clip(
    model: str, size: tuple[int, int], frames: int, precision: Precision, tiled: bool, gib: float
) -> None:
    width, height = size
    entry = CATALOGUE.find(model)
    found = decode_bytes(entry, width=width, height=height, frames=frames, precision=precision, tiled=tiled)
    assert found / GIB == pytest.approx(gib, rel=0.01)


def test_i2v_encodes_a_whole_clip_ti2v_one_picture_t2v_nothing() -> None:
    def encode(model: str, frames: int) -> int:
        return encode_image_bytes(CATALOGUE.find(model), width=1280, height=704, frames=frames)

    assert encode("t2v-A14B", 81) == 0
    assert encode("ti2v-5B", 121) == encode("ti2v-5B", 17)
    # Three colours in fp32: each frame more is held until the last one is encoded, and its latents.
    longer = encode("i2v-A14B", 81) - encode("i2v-A14B", 77)
    assert longer == pytest.approx(4 * 3 * 4 * 1280 * 704, rel=0.1)


def test_what_the_pipeline_holds_is_small_beside_a_pass() -> None:
    for model in ("t2v-A14B", "i2v-A14B", "ti2v-5B"):
        entry = CATALOGUE.find(model)
        tokens = entry.tokens(1280, 704, 81)
        assert denoise_held_bytes(entry, tokens=tokens) < 0.03 * denoise_bytes(entry, tokens=tokens)


def test_fp16_takes_the_room_of_bf16_but_for_the_text_encoder() -> None:
    """transformers computes one projection of UMT5 in fp32 when the rest is fp16, where it would overflow."""
    model = CATALOGUE.find("t2v-A14B")
    fp16, bf16 = (denoise_bytes(model, tokens=7800, precision=p) for p in (Precision.FP16, Precision.BF16))
    assert fp16 == bf16
    assert text_encode_bytes(model, precision=Precision.FP16) > text_encode_bytes(model, precision=Precision.BF16)


def test_slicing_decodes_one_clip_at_a_time() -> None:
    def decode(batch: int, *, sliced: bool) -> int:
        model = CATALOGUE.find("t2v-A14B")
        return decode_bytes(model, width=832, height=480, frames=81, batch=batch, sliced=sliced)

    clip = 832 * 480 * 81 * 3 * 4
    assert decode(1, sliced=True) == decode(1, sliced=False)
    assert decode(4, sliced=False) == 4 * decode(1, sliced=False)
    assert decode(4, sliced=True) == pytest.approx(decode(1, sliced=False) + 3 * clip, rel=0.01)


@given(
    model=MODELS,
    precision=PRECISIONS,
    tokens=st.integers(1, 10**6),
    more=st.integers(0, 10**5),
    batch=st.integers(1, 8),
)
def test_denoising_more_never_takes_less(
    model: Model, precision: Precision, tokens: int, more: int, batch: int
) -> None:
    for figure in (denoise_bytes, denoise_held_bytes):
        small = figure(model, tokens=tokens, batch=batch, precision=precision)
        assert 0 < small <= figure(model, tokens=tokens + more, batch=batch, precision=precision)
        assert small < figure(model, tokens=tokens, batch=batch + 1, precision=precision)
    text = [text_encode_bytes(model, batch=count, precision=precision) for count in (batch, batch + 1)]
    assert 0 < text[0] < text[1]


@given(
    model=MODELS,
    precision=PRECISIONS,
    tiled=st.booleans(),
    sliced=st.booleans(),
    size=st.tuples(st.integers(1, 45), st.integers(1, 45)),
    latent_frames=st.integers(1, 40),
    more=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 3)),
)
def test_a_larger_or_longer_clip_never_takes_less(
    model: Model,
    precision: Precision,
    tiled: bool,
    sliced: bool,
    size: tuple[int, int],
    latent_frames: int,
    more: tuple[int, int, int, int],
) -> None:
    def figures(wide: int, high: int, latents: int, batch: int) -> tuple[int, int]:
        width, height, frames = wide * model.size_multiple, high * model.size_multiple, 4 * latents - 3
        decoded = decode_bytes(
            model,
            width=width,
            height=height,
            frames=frames,
            precision=precision,
            tiled=tiled,
            sliced=sliced,
            batch=batch,
        )
        encoded = encode_image_bytes(model, width=width, height=height, frames=frames, precision=precision, tiled=tiled)
        return decoded, encoded

    small = figures(*size, latent_frames, 1)
    large = figures(size[0] + more[0], size[1] + more[1], latent_frames + more[2], 1 + more[3])
    assert 0 < small[0] <= large[0]
    assert small[1] <= large[1]
