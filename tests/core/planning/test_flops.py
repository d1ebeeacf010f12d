"""Operation counts: their size, and what they grow with. tests/worker/test_profile.py counts the real modules."""

import pytest

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.planning.flops import decode_flop, encode_flop, forward_flop, text_encode_flop

CATALOGUE = load_catalogue()
PUBLISHED = [model for model in CATALOGUE.models if model.weights == "checkpoint"]


@pytest.mark.parametrize(
    ("model", "size", "frames", "passes", "petaflop"),
    [  # a default run, both passes of guidance
        ("t2v-A14B", (832, 480), 17, 2 * 40, 19.3),
        ("t2v-A14B", (832, 480), 81, 2 * 40, 134),
        ("t2v-A14B", (1280, 720), 81, 2 * 40, 522),
        ("ti2v-5B", (1280, 704), 17, 2 * 50, 4.7),
        ("ti2v-5B", (1280, 704), 121, 2 * 50, 52),
    ],
)
def test_operations_of_a_default_run(
    model: str, size: tuple[int, int], frames: int, passes: int, petaflop: float
) -> None:
    entry = CATALOGUE.find(model)
    assert passes * forward_flop(entry, entry.tokens(*size, frames)) / 1e15 == pytest.approx(petaflop, rel=0.01)


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.id)
def test_a_pass_is_two_operations_a_weight_and_token_and_attention_on_top(model: Model) -> None:
    weights = 2 * model.transformer.parameters * 1000
    assert 0.8 < forward_flop(model, 1000) / weights < 1.1
    assert forward_flop(model, 80_000) > 1.8 * 2 * model.transformer.parameters * 80_000


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.id)
def test_encoding_a_prompt_reads_every_weight_but_the_embedding(model: Model) -> None:
    config = model.text_encoder.config
    parameters = model.text_encoder.parameters - config["vocab_size"] * config["d_model"]
    assert text_encode_flop(model) == pytest.approx(2 * parameters * 512, rel=0.03)


@pytest.mark.parametrize(("model", "megaflop"), [("t2v-A14B", 34), ("ti2v-5B", 73.6)])
def test_decoding_costs_by_pixel_and_latent_frame(model: str, megaflop: float) -> None:
    entry = CATALOGUE.find(model)
    added = decode_flop(entry, 832, 480, 81) - decode_flop(entry, 832, 480, 77)
    assert added / (832 * 480) / 1e6 == pytest.approx(megaflop, rel=0.05)


@pytest.mark.parametrize("count", [decode_flop, encode_flop])
def test_tiles_overlap_and_take_more(count: object) -> None:
    assert callable(count)
    model = CATALOGUE.find("t2v-A14B")
    # 1.645: the area of all tiles over that of a 1280 x 720 picture, less the attention across tiles.
    assert count(model, 1280, 720, 81, tiled=True) / count(model, 1280, 720, 81) == pytest.approx(1.62, abs=0.04)
    assert count(model, 256, 256, 81, tiled=True) == count(model, 256, 256, 81)


@pytest.mark.parametrize("model", CATALOGUE.models, ids=lambda model: model.id)
def test_more_work_never_takes_fewer_operations(model: Model) -> None:
    for count in (decode_flop, encode_flop):
        frames = [count(model, 256, 256, frames) for frames in (1, 5, 9, 81)]
        widths = [count(model, width, 256, 9, tiled=True) for width in range(64, 1024, 64)]
        assert frames == sorted(frames)
        assert widths == sorted(widths)
    passes = [forward_flop(model, tokens) for tokens in (1, 10, 1000, 100_000)]
    assert passes == sorted(passes)
