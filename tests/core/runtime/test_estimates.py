"""Estimates of deployments: shown, kept beside what happened, and better the next time. No worker is needed."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.core.planning.parts import NO_DRIVER, gpu, hardware, host
from tests.core.runtime.harness import request
from tests.core.test_history import RATE
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.history import TOTAL, History, Kind, Record, Unit
from wan_tui.core.history.reading import read_history
from wan_tui.core.planning.plan import Compatibility, ExecutionPlan, GenerationRequest, StageSeconds
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.state import WorkerStatus
from wan_tui.core.words import Basis, OffloadMode, Phase, Precision, Verdict


def deployment(device: str = "cpu", torch: str = "2.9") -> Deployment:
    plan = ExecutionPlan(
        device=device,
        gpu_uuid=None if device == "cpu" else "GPU-0",
        precision=Precision.FP32,
        vae_precision=Precision.FP32,
        offload=OffloadMode.NONE,
        vae_tiling=False,
    )
    found = Deployment(
        name="pocket",
        settings=DeploymentSettings(model="t2v-pocket"),
        model=load_catalogue().find("t2v-pocket"),
        compatibility=Compatibility(verdict=Verdict.FITS, reason="", plan=plan),
        wanted_loaded=False,
    )
    found.plan = plan
    found.rate = RATE
    found.worker_status = WorkerStatus(
        pid=1, up=True, started_at=0.0, last_progress_at=0.0, torch_version=torch, diffusers_version="0.42"
    )
    return found


class Host:
    """An estimator over a history file; ``run`` is a generation that took ``factor`` times what was modelled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open()

    def open(self) -> None:
        self.history = History(self.path)
        self.estimator = Estimator(self.history)
        self.estimator.look_at(hardware(gpu(24)), host(64))

    def run(
        self, on: Deployment, factor: float, asked: GenerationRequest | None = None, peak_ratio: float = 0.0
    ) -> None:
        asked = asked or request()
        shown = self.estimator.estimate(on, asked)
        modelled = self.modelled(on, asked)
        stages = tuple(StageSeconds(stage.stage, stage.seconds * factor) for stage in modelled)
        total = sum(stage.seconds for stage in stages)
        peaks = {Phase.VAE_DECODE: int(peak_ratio * 2**30)} if peak_ratio else {}
        self.estimator.observed(on, asked, shown, total, stages, peaks)
        on.runs_since_load += 1
        self.written()

    def modelled(self, on: Deployment, asked: GenerationRequest) -> tuple[StageSeconds, ...]:
        empty = History(Path("/proc/nowhere/history.sqlite3"))
        estimate = Estimator(empty).estimate(on, asked)
        empty.close()
        assert estimate is not None
        return estimate.stages

    def written(self) -> None:
        self.history._writing.submit(lambda: None).result()

    def kept(self) -> list[Record]:
        self.written()
        return read_history(self.path)


@pytest.fixture
def here(tmp_path: Path) -> Host:
    return Host(tmp_path / "history.sqlite3")


def test_the_first_estimate_is_modelled_and_later_ones_say_how_many_runs_corrected_them(here: Host) -> None:
    pocket = deployment()
    pocket.runs_since_load = 1
    first = here.estimator.estimate(pocket, request())
    assert first is not None
    assert (first.basis, first.runs) == (Basis.MODELLED, 0)
    for _ in range(4):
        here.run(pocket, 1.5, request(width=96, frames=17))
    second = here.estimator.estimate(pocket, request())
    assert second is not None
    assert (second.basis, second.runs) == (Basis.CALIBRATED, 4)
    grown = second.total_seconds.expected / first.total_seconds.expected
    assert grown == pytest.approx(1.5, rel=0.08), "another shape profits"
    assert second.total_seconds.high / second.total_seconds.low < first.total_seconds.high / first.total_seconds.low


def test_every_stage_is_kept_with_what_was_modelled_shown_and_observed(here: Host) -> None:
    pocket = deployment()
    here.run(pocket, 1.5)
    here.run(pocket, 1.5)
    warm, first = here.kept()
    assert (first.first, warm.first) == (True, False)
    assert first.device == "cpu c x8"
    assert (first.versions.torch, first.versions.driver) == ("2.9", None)
    assert first.plan == pocket.plan
    assert first.request == request()
    assert {figure.stage for figure in first.figures} == {
        *(TOTAL, "text_encode", "denoise_high_noise", "denoise_low_noise", "vae_decode", "write_output")
    }
    for figure in first.figures:
        assert figure.modelled is not None
        assert figure.observed == pytest.approx(1.5 * figure.modelled)
        assert figure.shown is not None
        assert figure.shown.low < figure.shown.expected < figure.shown.high


def test_an_engine_that_starts_again_knows_what_the_last_one_saw(here: Host) -> None:
    pocket = deployment()
    for _ in range(3):
        pocket.runs_since_load = 0
        here.run(pocket, 2.0)
    here.history.close()
    here.open()
    unloaded = deployment()
    unloaded.worker_status = None
    estimate = here.estimator.estimate(unloaded, request())
    assert estimate is not None
    assert (estimate.basis, estimate.runs) == (Basis.CALIBRATED, 3)


def test_new_libraries_widen_the_interval(here: Host) -> None:
    pocket = deployment()
    pocket.runs_since_load = 1
    for _ in range(6):
        here.run(pocket, 1.2)
    same, newer = deployment(), deployment(torch="3.0")
    same.runs_since_load = newer.runs_since_load = 1
    estimates = [here.estimator.estimate(one, request()) for one in (same, newer)]
    widths = [one.total_seconds.high / one.total_seconds.low for one in estimates if one]
    assert widths[1] > 1.05 * widths[0]


def test_loads_are_kept_with_their_stages_and_calibrate_the_next(here: Host) -> None:
    pocket = deployment()
    before = here.estimator.load_seconds(pocket)
    assert before is not None
    assert before.basis is Basis.MODELLED
    shown = here.estimator.loaded(pocket, 20.0, {"start": 12.0, "vae": 8.0})
    assert shown == before
    (kept,) = here.kept()
    assert kept.kind is Kind.LOAD
    assert kept.first
    assert [(figure.stage, figure.observed) for figure in kept.figures] == [
        ("total", 20.0),
        ("start", 12.0),
        ("vae", 8.0),
    ]
    after = here.estimator.load_seconds(pocket)
    assert after is not None
    assert (after.basis, after.runs) == (Basis.CALIBRATED, 1)
    assert before.total_seconds.expected < after.total_seconds.expected < 20.0
    pocket.last_load_seconds = 20.0
    again = here.estimator.load_seconds(pocket)
    assert again is not None
    assert again.runs == 0, "the first load of an engine finds a cold page cache: it is kept apart"


def test_memory_is_corrected_by_the_peaks_that_were_seen(here: Host) -> None:
    story = deployment("gpu:0")
    for _ in range(6):
        here.run(story, 1.0, peak_ratio=2.0)
    newest = here.kept()[0]
    assert newest.versions.key.startswith("torch")
    figure = newest.figure(Phase.VAE_DECODE, Unit.BYTES)
    assert figure is not None
    assert figure.modelled is not None
    assert newest.device == "Test 24 24 GiB"
    assert figure.observed > 2 * 2**30, "with the context that torch does not see"
    assert figure.expected == pytest.approx(figure.observed, rel=0.2)


def test_without_a_driver_version_nothing_is_made_up(here: Host) -> None:
    here.estimator.look_at(NO_DRIVER, host(64))
    here.run(deployment("gpu:0"), 1.0)
    assert here.kept()[0].versions.driver is None


def test_the_driver_is_kept_for_gpus(here: Host) -> None:
    sample = hardware(gpu(24))
    here.estimator.look_at(replace(sample, driver=replace(sample.driver, driver_version="580.65")), host(64))
    here.run(deployment("gpu:0"), 1.0)
    assert here.kept()[0].versions.driver == "580.65"
