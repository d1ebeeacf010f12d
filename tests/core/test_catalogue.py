"""The catalogue says what is true of the published models."""

import pytest

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.errors import UsageError
from wan_tui.core.words import Precision

CATALOGUE = load_catalogue()


def test_the_three_official_models_come_first_then_the_pocket_ones() -> None:
    assert [model.id for model in CATALOGUE.models] == [
        *("t2v-A14B", "i2v-A14B", "ti2v-5B"),
        *("t2v-pocket", "i2v-pocket", "ti2v-pocket"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("t2v-A14B", "T2V-a14b", "wan_implementation:t2v-A14B", "WAN_IMPLEMENTATION:T2V-A14B"),
        *("Wan-AI/Wan2.2-T2V-A14B-Diffusers", "Wan-AI/Wan2.2-T2V-A14B", "Wan2.2-T2V-A14B", "wan2.2-t2v-a14b-diffusers"),
    ],
)
def test_a_model_is_found_by_any_of_its_names(name: str) -> None:
    assert CATALOGUE.find(name).id == "t2v-A14B"


def test_an_unknown_model_gets_the_nearest_names() -> None:
    with pytest.raises(UsageError, match=r"unknown model 't2v-A14': did you mean t2v-A14B"):
        CATALOGUE.find("t2v-A14")


@pytest.mark.parametrize(
    ("model", "size", "frames", "tokens"),
    [  # N = ((F-1)/4+1) * H/(2s) * W/(2s)
        ("t2v-A14B", (832, 480), 81, 32760),
        ("t2v-A14B", (1280, 720), 81, 75600),
        ("t2v-A14B", (256, 256), 17, 1280),
        ("ti2v-5B", (1280, 704), 121, 27280),
        ("ti2v-5B", (832, 480), 17, 1950),
    ],
)
def test_sequence_lengths(model: str, size: tuple[int, int], frames: int, tokens: int) -> None:
    assert CATALOGUE.find(model).tokens(*size, frames) == tokens


@pytest.mark.parametrize(
    ("model", "transformer_bytes"), [("t2v-A14B", 28635351168), ("i2v-A14B", 28636170368), ("ti2v-5B", 10021521792)]
)
def test_transformer_bytes_count_what_diffusers_keeps_in_fp32(model: str, transformer_bytes: int) -> None:
    transformer = CATALOGUE.find(model).transformer
    assert transformer.bytes(Precision.BF16) == transformer_bytes
    assert transformer.bytes(Precision.BF16) > 2 * transformer.parameters
    assert transformer.bytes(Precision.FP32) == 4 * transformer.parameters


def test_published_repositories_have_their_published_size() -> None:
    """126.2 GB for A14B and 34.2 GB for 5B on the hub."""
    sizes = {
        model.id: sum(part.published_bytes for _, part in model.components) / 1e9 for model in CATALOGUE.models[:3]
    }
    assert sizes["t2v-A14B"] == pytest.approx(126.2, abs=0.1)
    assert sizes["ti2v-5B"] == pytest.approx(34.2, abs=0.1)
