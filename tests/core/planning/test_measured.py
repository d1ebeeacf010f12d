"""What was measured of a GPU: read from files, used by the estimate, and named by it."""

import dataclasses
from importlib import resources
from pathlib import Path

import pytest

from tests.core.planning.parts import CATALOGUE
from wan_tui.core.catalog.gpus import gpu_table
from wan_tui.core.planning import measured
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.measured import Reference, StageFactor, read_references, reference_of
from wan_tui.core.planning.plan import Clip
from wan_tui.core.planning.roofline import RooflineEstimate, estimate_on_device
from wan_tui.core.units import format_basis
from wan_tui.core.words import Phase, Precision

CARD = next(gpu for gpu in gpu_table() if gpu.name == "NVIDIA GeForce RTX 4090")
PLAN = dataclasses.replace(cpu_plan(), device="gpu:0", gpu_uuid="GPU-0", precision=Precision.BF16)
CLIP = Clip(width=832, height=480, frames=81, steps=4, guidance=5.0)
DECODE = Reference(
    device=CARD.name,
    report="report-4090",
    stages={"ti2v-5B": {"vae_decode": StageFactor(factor=2.0, spread=1.1, shapes=4)}},
)


def estimate(reference: Reference | None = None, model: str = "ti2v-5B") -> RooflineEstimate:
    return estimate_on_device(CATALOGUE.find(model), CARD, PLAN, CLIP, reference=reference)


def test_without_a_committed_report_there_is_a_readme_and_nothing_to_start_from() -> None:
    folder = resources.files("wan_tui.core.planning") / "reference"
    files = {file.name for file in folder.iterdir()}
    assert "README.md" in files
    known = read_references(folder)
    assert len(known) == len(files) - 1, "every other file is the measurements of one card"
    assert reference_of("NVIDIA Nothing") is None
    if CARD.name not in known:
        assert estimate().factors == ()
        assert estimate().time.report is None


def test_what_a_stage_took_changes_that_stage_and_the_estimate_names_the_report() -> None:
    alone, found = estimate(), estimate(DECODE)
    before, after = ({stage.stage: stage.seconds for stage in one.stages} for one in (alone, found))
    assert after.pop(Phase.VAE_DECODE).expected == pytest.approx(2 * before.pop(Phase.VAE_DECODE).expected)
    assert after == before
    assert found.factors == ((Phase.VAE_DECODE, 2.0),)
    assert found.time.report == "report-4090"
    assert format_basis(found.time.basis, 0, found.time.report) == "modelled (report-4090)"
    assert format_basis("calibrated", 3, "report-4090") == "calibrated (3 runs)"


def test_a_measured_spread_is_narrower_and_that_of_another_model_is_the_models_own() -> None:
    def width(found: RooflineEstimate) -> float:
        decode = next(stage.seconds for stage in found.stages if stage.stage is Phase.VAE_DECODE)
        return decode.high / decode.low

    assert width(estimate(DECODE)) == pytest.approx(1.1**2)
    other = estimate(DECODE, "t2v-A14B")
    assert width(other) == pytest.approx(width(estimate(model="t2v-A14B")))
    assert other.factors == ((Phase.VAE_DECODE, pytest.approx(2.0)),)


def test_the_built_in_ones_are_found_by_the_name_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "_built_in", lambda: {CARD.name: DECODE})
    assert estimate().report == "report-4090"
    two = estimate_on_device(CATALOGUE.find("ti2v-5B"), CARD, PLAN, CLIP, gpus=2)
    assert two.report is None, "one card was measured"


@pytest.mark.parametrize(
    "text",
    [
        "device = 1",
        'device = "x"\nreport = "y"\n[stages.m.vae_decode]\nfactor = 0\nspread = 1.1\nshapes = 3',
        'device = "x"\nreport = "y"\n[stages.m.vae_decode]\nfactor = 1\nspread = 0.9\nshapes = 3',
        "not TOML",
    ],
)
def test_a_file_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text(text)
    with pytest.raises(ValueError, match=r"^card\.toml: no measurements of a GPU"):
        read_references(tmp_path)
