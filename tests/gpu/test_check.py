"""The check of real GPUs, as far as a host without one can tell: what is skipped, what is kept, what is compared."""

import os
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.gpu import check, memory, refit
from tests.gpu.page import page
from tests.gpu.probe import FIELDS, TEXTS, compare_with
from tests.gpu.report import NO_DEVICE, Outcome, Part, Record, Report
from wan_tui.cli.bench_report import read_report
from wan_tui.core.planning.measured import read_references

GPU = """<gpu><product_name>NVIDIA Test</product_name><uuid>GPU-1</uuid>
<fb_memory_usage><total>81559 MiB</total><used>512 MiB</used></fb_memory_usage>
<temperature><gpu_temp>41 C</gpu_temp></temperature><utilization><gpu_util>7 %</gpu_util></utilization>
<fan_speed>N/A</fan_speed><max_clocks><sm_clock>1980 MHz</sm_clock></max_clocks></gpu>"""


def run(width: int, frames: int, *, modelled: float, observed: float) -> Record:
    detail = {
        "model": "ti2v-5B",
        "outcome": "finished",
        "clip": {"width": width, "height": 704, "frames": frames},
        "estimated_seconds": modelled,
        "estimated_stage_seconds": {"vae_decode": modelled},
        "stage_seconds": {"vae_decode": observed},
    }
    key = f"{width} {frames}"
    return Record(part=Part.GRID, key=key, device="card", outcome=Outcome.PASSED, seconds=observed, detail=detail)


def test_without_a_gpu_every_part_is_skipped_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "_device", lambda wanted: None)
    file, written = tmp_path / "report.jsonl", tmp_path / "REPORT.md"
    assert check.main(["--report", str(file), "--page", str(written)]) == 0
    records = Report(file).records
    assert {record.outcome for record in records} == {Outcome.SKIPPED}
    assert {record.part for record in records} == {Part.PROBE, Part.OPTIONS, Part.UNLOAD, Part.OUT_OF_MEMORY, Part.GRID}
    assert all(record.says for record in records)
    assert "Nothing was measured: no GPU to read; no CUDA device." in written.read_text()
    assert "0 passed, 0 failed, 7 skipped" in capsys.readouterr().out


def test_a_report_goes_on_where_it_stopped_and_a_torn_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "report.jsonl"
    report = Report(file)
    report.add(Record(part=Part.OPTIONS, key="nf4", device="card", outcome=Outcome.SKIPPED, says="not installed"))
    report.add(Record(part=Part.OPTIONS, key="bf16", device="card", outcome=Outcome.PASSED))
    again = Report(file)
    assert again.has(Part.OPTIONS, "card", "bf16")
    assert not again.has(Part.OPTIONS, "card", "nf4"), "a library may have come"
    assert not again.has(Part.OPTIONS, "another card", "bf16")
    again.add(Record(part=Part.OPTIONS, key="nf4", device="card", outcome=Outcome.FAILED))
    assert len(file.read_text().splitlines()) == 2
    file.write_text(file.read_text() + '{"part": "opt')
    with pytest.raises(ValueError, match=r"report\.jsonl:3: no record of a check"):
        Report(file)


def test_with_a_device_it_is_forgotten_that_there_was_none(tmp_path: Path) -> None:
    file = tmp_path / "report.jsonl"
    report = Report(file)
    report.add(Record(part=Part.GRID, key="ti2v-5B", device=NO_DEVICE, outcome=Outcome.SKIPPED, says="no CUDA device"))
    report.add(Record(part=Part.OPTIONS, key="bf16", device="card", outcome=Outcome.PASSED))
    assert [record.device for record in Report(file).records] == ["card"]


def test_two_readers_of_a_driver_agree_within_what_moves_between_them() -> None:
    ours: dict[str, str | float | None] = dict.fromkeys((*TEXTS, *FIELDS))
    ours |= {"name": "NVIDIA Test", "uuid": "GPU-2", "memory_total_bytes": 81559 * 2**20, "memory_used_bytes": 2**32}
    ours |= {"temperature_celsius": 43.0, "utilization_ratio": 0.07, "sm_clock_max_hertz": 1.98e9}
    found = {one.field: one for one in compare_with(ElementTree.fromstring(GPU), ours)}
    assert found.keys() == {*TEXTS, *FIELDS}
    agree = {name for name, one in found.items() if one.agrees}
    assert agree == {"name", "memory_total_bytes", "temperature_celsius", "utilization_ratio", "sm_clock_max_hertz"}
    assert {name for name, one in found.items() if one.agrees is False} == {"uuid", "memory_used_bytes"}
    assert found["fan_speed_ratio"].says == "neither has it"


def test_a_refit_is_judged_by_shapes_that_it_did_not_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.jsonl"
    report = Report(file)
    for width, frames, modelled, observed in ((832, 17, 10, 20), (1280, 17, 20, 40), (1280, 121, 100, 220)):
        report.add(run(width, frames, modelled=modelled, observed=observed))
    found = refit.points(report.records)
    (before,), (after,) = (refit.left_out(found, fitted=fitted).values() for fitted in (False, True))
    assert (before.runs, before.median) == (3, 0.5)
    assert after.worst == pytest.approx(1 - 2 / 2.2)
    assert refit.main([str(file)]) == 0
    assert "vae_decode: factor 2.06, 3 predictions: median 50% -> 5%, worst 55% -> 9%" in capsys.readouterr().out
    assert "| 1280 121 | 220.00 | 100.00 |" in page(report.records)


def test_a_report_without_a_measurement_fits_nothing(tmp_path: Path) -> None:
    assert refit.main([str(tmp_path / "none.jsonl")]) == 1


def test_the_whole_chain_runs_on_a_processor_with_the_pocket_model(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "OPTIONS", {name: check.OPTIONS[name] for name in ("leaf offload", "nf4")})
    file = tmp_path / "report.jsonl"
    assert check.main(["--report", str(file), "--device", "cpu", "--pocket"]) == 0
    outcomes = {(record.part, record.key): record.outcome for record in Report(file).records}
    assert outcomes[Part.OPTIONS, "leaf offload"] is Outcome.PASSED
    assert outcomes[Part.OPTIONS, "nf4"] is Outcome.SKIPPED
    grid = [record for record in Report(file).records if record.part is Part.GRID]
    assert len(grid) == 8, "every size with every length, under both plans"
    assert all(outcomes[Part.OUT_OF_MEMORY, place] is Outcome.PASSED for place in memory.PLACES)
    assert all(record.detail["stage_seconds"]["vae_decode"] > 0 for record in grid)
    assert refit.main([str(file), "--write", str(tmp_path / "reference")]) == 0
    (reference,) = read_references(tmp_path / "reference").values()
    assert (reference.device, reference.report) == (grid[0].device, "report")
    found = reference.of("t2v-pocket", "vae_decode")
    assert found is not None
    assert found.shapes == 4
    assert found.factor == pytest.approx(refit.factor(p for p in refit.points(grid) if p.stage == "vae_decode"), 1e-3)


def test_what_was_scaled_by_a_report_is_fitted_against_the_model_again() -> None:
    scaled = run(832, 17, modelled=20, observed=20)
    scaled.detail["reference_factors"] = {"vae_decode": 2.0}
    (point,) = refit.points([scaled])
    assert point.ratio == pytest.approx(2.0)


def test_the_first_round_of_every_model_comes_before_the_second_of_any() -> None:
    found = list(check.rounds(check.MODELS, on_gpu=True))
    assert [model for model, _ in found] == [*check.MODELS] * 3
    for model, one in found:
        text = tomllib.loads(check.grid_toml(one))
        assert {f"{clip.width}x{clip.height}" for clip in one.clips} == set(text["sizes"]), model
        assert {clip.frames for clip in one.clips} == set(text["frames"])
    seen = {(clip.width, clip.height, clip.frames) for model, one in found if model == "ti2v-5B" for clip in one.clips}
    assert len(seen) == 6, "two sizes and three lengths, so that each shape can be left out of a fit"


@pytest.mark.slow
def test_killed_in_the_middle_the_next_call_goes_on(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.jsonl"
    arguments = ["--report", str(file), "--device", "cpu", "--pocket", "--only", "grid"]
    beside = tmp_path / "report-t2v-pocket.json"
    command = [sys.executable, "-m", "tests.gpu.check", *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True) as one:
        while (report := read_report(beside)) is None or not report.measured():
            assert one.poll() is None
            time.sleep(0.02)
        os.killpg(one.pid, signal.SIGKILL)
    before = read_report(beside)
    assert before is not None
    kept = [run for run in before.runs if run.key in before.measured()]
    estimated = [run for run in before.runs if run.key not in before.measured()]
    assert estimated, "what was to come had its estimate stored already"
    assert check.main(arguments) == 0
    after = read_report(beside)
    assert after is not None
    assert [run for run in after.runs if run.key in before.measured()] == kept, "measured once"
    assert len(after.measured()) == len(after.runs) == 8
    assert sum(record.outcome is Outcome.PASSED for record in Report(file).records) == 8
