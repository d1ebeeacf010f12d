"""``wan-tui bench``: real runs in real processes, estimates beside them, and nothing measured is ever lost."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.harness import wan_tui
from wan_tui.cli import bench
from wan_tui.cli.bench_report import BenchReport, read_report, report_text, write_report
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.gpus import search_gpu
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.hardware.look import look
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.grid import default_grid, read_grid
from wan_tui.core.planning.planner import HostRoom, Room
from wan_tui.core.runtime.benching import BenchJob, BenchWeights, Outcome, decode_bench_event, decode_job, encode_line
from wan_tui.core.runtime.protocol import ProtocolError
from wan_tui.core.words import OffloadMode, Phase, Precision, Quantization

CATALOGUE = load_catalogue()
GRID = """
sizes = ["64x64"]
frames = [5, 9]
steps = [2]

[[plans]]

[[plans]]
precision = "bf16"
quantization = "fp8"
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips under two plans."""
    file = tmp_path_factory.mktemp("grid") / "grid.toml"
    file.write_text(GRID)
    return file


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first run of ``grid``."""
    file = tmp_path_factory.mktemp("grid") / "one.toml"
    file.write_text('sizes = ["64x64"]\nframes = [5]\nsteps = [1]\n[[plans]]\n')
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


def known(file: Path) -> BenchReport:
    found = read_report(file)
    assert found is not None
    return found


# -- real runs ----------------------------------------------------------------------------------------------------


def test_every_clip_under_every_plan_estimated_and_observed(grid: Path, file: Path) -> None:
    run = wan_tui("bench", "t2v-pocket", "--grid", str(grid), "--report", str(file))
    assert run.returncode == 0, run.stderr
    report = known(file)
    assert report.model == "t2v-pocket"
    assert report.weights is BenchWeights.SYNTHETIC
    assert report.place.device.startswith("cpu ")
    assert [(one.plan.quantization, one.clip.frames) for one in report.runs] == [
        (Quantization.NONE, 5),
        (Quantization.NONE, 9),
        (Quantization.FP8, 5),
        (Quantization.FP8, 9),
    ]
    for one in report.runs:
        assert one.outcome is Outcome.FINISHED
        phases = {phase.phase: phase for phase in one.phases}
        denoising = (Phase.DENOISE_HIGH_NOISE, Phase.DENOISE_LOW_NOISE)
        assert list(phases) == [Phase.TEXT_ENCODE, *denoising, Phase.VAE_DECODE, Phase.WRITE_OUTPUT]
        assert sum(len(phases[expert].step_seconds) for expert in denoising) == one.clip.steps
        assert one.seconds == pytest.approx(sum(phase.seconds for phase in one.phases), rel=0.3)
        assert all((phase.peak.resident_growth_bytes or 0) > 0 for phase in one.phases)
        assert one.peak_bytes == max(phase.peak.resident_growth_bytes or 0 for phase in one.phases)
        time_, memory = one.estimate.shown_time, one.estimate.memory
        assert time_ is not None
        assert set(time_.stages) == set(phases)
        for bounds in (time_.total, memory.peak, *time_.stages.values(), *memory.phases.values()):
            assert 0 < bounds.low < bounds.expected < bounds.high
        assert one.load is not None
        assert one.libraries is not None
    for words in ("64x64, 5 frames, 2 steps: bf16", "ESTIMATED", "OBSERVED", "ERROR", "peak memory", "medians"):
        assert words in run.stdout
    assert "\033" not in run.stdout


@pytest.mark.slow
def test_what_is_in_the_report_is_not_made_again(one_run: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("bench", "i2v-pocket", "--weights", "pocket", "--steps", "1", "--report", str(file))
    run = wan_tui(*arguments, "--grid", str(one_run), "--json")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found == json.loads(file.read_text())
    assert {one["clip"]["steps"] for one in found["runs"]} == {1}
    assert "image_encode" in {phase["phase"] for phase in found["runs"][0]["phases"]}
    first = known(file).runs
    assert bench.run_bench("i2v-pocket", one_run, "pocket", file, steps=1) == 0
    assert "0 runs to make, 1 are in the report already" in capsys.readouterr().err
    assert known(file).runs == first
    longer = one_run.with_name("two.toml")
    longer.write_text(one_run.read_text().replace("[5]", "[5, 9]"))
    assert bench.run_bench("i2v-pocket", longer, "pocket", file, steps=1) == 0
    assert "1 runs to make, 1 are in the report already" in capsys.readouterr().err
    assert known(file).runs[:1] == first
    assert len(known(file).runs) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_it_loses_nothing(file: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "wan_tui", "bench", "t2v-pocket", "--report", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while not file.exists() or not known(file).measured():
            assert process.poll() is None
            time.sleep(0.005)
        workers = psutil.Process(process.pid).children()
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=20)
    left = known(file)
    assert 1 <= len(left.measured()) < len(default_grid(CATALOGUE.find("t2v-pocket"), on_gpu=False))
    others = [run for run in left.runs if run.key not in left.measured()]
    assert others, "the estimates of what comes next are known before it runs"
    assert {(run.outcome, run.reason) for run in others} == {(Outcome.DIED, "has not ended")}
    assert all(run.estimate.memory.peak.expected > 0 for run in others)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert "64x64, 9 frames" in stdout, "what was measured is printed"
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive, "the worker ends with the command"


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_one_run(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, victims = bench.bench_worker, []

    def fragile(job: BenchJob) -> Any:
        if not victims:  # in the first process only, the first clip can never be made in time
            longer = dataclasses.replace(job.clips[0], steps=1000)
            job = dataclasses.replace(job, clips=(longer, *job.clips[1:]))
        return _killing(real(job), victims)

    monkeypatch.setattr(bench, "bench_worker", fragile)
    grid = tmp_path / "grid.toml"
    grid.write_text('sizes = ["64x64"]\nframes = [5, 9]\nsteps = [2]\n[[plans]]\n')
    assert bench.run_bench("t2v-pocket", grid, "synthetic", file) == 0
    outcomes = [run.outcome for run in known(file).runs]
    assert outcomes == [Outcome.DIED, Outcome.FINISHED]
    died = known(file).runs[0]
    assert died.reason is not None
    assert "SIGKILL" in died.reason
    assert [phase.phase for phase in died.phases] == [Phase.TEXT_ENCODE], "what it had measured is kept"
    assert "died" in capsys.readouterr().out
    assert len(known(file).measured()) == 1, "what died is tried again"


class _killing:
    """A worker that is killed once it has told the first phase, the first time."""

    def __init__(self, context: Any, victims: list[int]) -> None:
        self._context, self._victims = context, victims

    def __enter__(self) -> "_killing":
        self._worker = self._context.__enter__()
        return self

    def __exit__(self, *reason: Any) -> Any:
        return self._context.__exit__(*reason)

    def events(self) -> Iterator[Any]:
        pid = 0
        for event in self._worker.events():
            pid = getattr(event, "pid", pid)
            yield event
            if event.type == "phase" and not self._victims:
                self._victims.append(pid)
                os.kill(pid, signal.SIGKILL)

    def wait(self) -> Any:
        return self._worker.wait()


def test_what_cannot_be_made_synthetically_is_skipped_with_the_reason(tmp_path: Path, file: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text('sizes = ["64x64"]\nframes = [5, 9]\n[[plans]]\nquantization = "nf4"\n')
    assert bench.run_bench("t2v-pocket", grid, "synthetic", file) == 1, "nothing was measured"
    assert {run.outcome for run in known(file).runs} == {Outcome.SKIPPED}
    assert "bitsandbytes" in (known(file).runs[0].reason or "")
    assert not known(file).measured(), "another host may be able to"


def test_the_worker_writes_a_line_a_result_and_nothing_else() -> None:
    clips = read_clips("sizes = ['64x64']\nframes = [5]\nsteps = [1]")
    job = BenchJob(
        model="ti2v-pocket", weights=BenchWeights.SYNTHETIC, plan=cpu_plan(), clips=clips, cache_directory="unused"
    )
    run = subprocess.run(
        [sys.executable, "-m", "wan_tui.worker.bench"], input=encode_line(job), capture_output=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    kinds = [decode_bench_event(line).type for line in run.stdout.splitlines()]
    assert kinds == ["hello", *["load_stage"] * 4, "ready", "began", *["phase"] * 4, "ended"]
    with pytest.raises(ProtocolError, match="not a job"):
        decode_job(b"{}\n")


# -- refusals -----------------------------------------------------------------------------------------------------


def read_clips(text: str, model: str = "t2v-pocket") -> Any:
    file = Path(os.environ["HOME"], "grid.toml")
    file.write_text(text)
    return read_grid(file, CATALOGUE.find(model), on_gpu=False).rounds[0].clips


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('sizes = ["65x64"]', "sizes.0 = '65x64': t2v-pocket makes multiples of 16; nearest: 64x64"),
        ('sizes = ["big"]', "sizes.0 = 'big': write WIDTHxHEIGHT in pixels, as 832x480"),
        ('sizes = ["1280x720"]', "sizes.0 = '1280x720': t2v-pocket makes at most 65536 pixels a frame"),
        ("sizes = []", "sizes = '[]': tuple should have at least 1 item"),
        ("frames = [9, 10]", "frames.1 = 10: frames follow 4k+1; nearest: 9"),
        ("frames = [121]", "frames.0 = 121: t2v-pocket makes at most 81"),
        ("frames = 9", "frames = '9': input should be a valid tuple"),
        ("steps = [0]", "steps.0 = '0': input should be greater than or equal to 1"),
        ("guidance = nan", "guidance = 'nan': input should be"),
        ("framse = [9]", "framse: unknown key 'framse': did you mean frames?"),
        ('[[plans]]\nquantization = "fp9"', "plans.0.quantization = 'fp9': input should be 'none', 'fp8'"),
        ('[[plans]]\nquantization = "q8_0"', "plans.0.quantization = 'q8_0': not for t2v-pocket"),
        ('[[plans]]\nofload = "model"', "plans.0.ofload: unknown key 'ofload': did you mean offload?"),
        ("[[plans]]\nstream = true", "plans.0.stream = true: only with offload = 'group_leaf' or 'group_block'"),
        ("sizes = ", "not valid TOML"),
        (f"frames = [{', '.join(['9'] * 1001)}]", "runs; at most 1000"),
    ],
)
def test_a_wrong_grid_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_grid(grid, CATALOGUE.find("t2v-pocket"), on_gpu=False)
    assert str(refused.value).startswith(f"{grid}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_model_too_large_for_this_host_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "host_room", lambda host: HostRoom(16 << 30, 12 << 30))
    monkeypatch.setattr(bench, "bench_worker", None)
    with pytest.raises(WanTuiError, match=r"t2v-A14B is too large for this host: .* 12.0 GiB are free") as refused:
        bench.run_bench("t2v-A14B", None, "synthetic", None, device="cpu")
    assert refused.value.exit_status == 1
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("t2v-A14C", None, "synthetic", None), "t2v-A14B"),
        (("t2v-A14B", None, "sinthetic", None), "did you mean synthetic"),
        (("t2v-A14B", None, "pocket", None), "t2v-A14B has no pocket weights: use --weights checkpoint or synthetic"),
        (("t2v-pocket", None, "checkpoint", None), "use --weights pocket"),
        (("t2v-A14B", None, "checkpoint", None), "no checkpoint of t2v-A14B"),
        (("t2v-pocket", Path("missing.toml"), "synthetic", None), "cannot read missing.toml"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(WanTuiError, match=said) as refused:
        bench.run_bench(*arguments, device="cpu")
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="unknown device 'gpu:7'"):
        bench.run_bench("t2v-pocket", None, "synthetic", None, device="gpu:7")


def test_a_report_of_something_else_is_left_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, host = look()
    place = bench._target("cpu").place
    other = BenchReport(wan_tui="0", model="i2v-pocket", weights=BenchWeights.POCKET, place=place, started_at=0.0)
    write_report(file, other)
    before = file.read_bytes()
    with pytest.raises(WanTuiError, match="is the report of i2v-pocket with pocket weights on cpu"):
        bench.run_bench("t2v-pocket", None, "synthetic", file, device="cpu")
    assert file.read_bytes() == before
    file.write_text('{"format": "something"}')
    with pytest.raises(WanTuiError, match=r"is not a report of wan-tui bench \(.*\): choose another --report"):
        bench.run_bench("t2v-pocket", None, "synthetic", file, device="cpu")
    assert host.hostname == place.host


# -- defaults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t2v-A14B", "i2v-A14B", "ti2v-5B"])
def test_the_default_grid_begins_with_what_says_most(name: str) -> None:
    model = CATALOGUE.find(name)
    grid = default_grid(model, on_gpu=True)
    assert len(grid) == 30
    runs = [(plan, clip) for one in grid.rounds for plan in one.plans for clip in one.clips]
    assert len(set(runs)) == 30
    assert all(clip.frames == model.nearest_frames(clip.frames) <= model.max_frames for _, clip in runs)
    assert all(model.nearest_side(side) == side for _, clip in runs for side in (clip.width, clip.height))
    first = grid.rounds[0]
    assert first.plans[0].plan("gpu:0", "GPU-1", Precision.BF16) == dataclasses.replace(
        cpu_plan(), device="gpu:0", gpu_uuid="GPU-1", precision=Precision.BF16
    )
    assert {plan.quantization for plan in first.plans} == {Quantization.NONE, Quantization.FP8, Quantization.INT8}
    assert {plan.offload for plan in first.plans} == {OffloadMode.NONE, OffloadMode.MODEL, OffloadMode.GROUP_LEAF}
    assert (first.clips[0].width, first.clips[0].frames) == (832, 17), "the cheapest first"


def test_what_should_fit_comes_first_and_a_clip_is_tiled_only_where_it_must_be() -> None:
    card = search_gpu("rtx 4090")
    room = Room(device="gpu:0", uuid="GPU-1", total_bytes=card.memory_bytes, free_bytes=card.memory_bytes, gpu=card)
    target = bench._Target(room, HostRoom(128 << 30, 120 << 30), bench._target("cpu").place)
    model = CATALOGUE.find("ti2v-5B")
    made = bench._Bench(model, BenchWeights.SYNTHETIC, target, None, None)
    one = default_grid(model, on_gpu=True).rounds[1]
    batches = made._batches(one.plans, one.clips)
    fits = [made._fits(batch.plan, batch.clips[0]) for batch in batches]
    assert fits == sorted(fits, reverse=True)
    assert True in fits
    assert False in fits, "what is too large for the card is tried too, last: the estimate may be wrong"
    for batch in batches:
        untiled = dataclasses.replace(batch.plan, vae_tiling=False)
        assert not (batch.plan.vae_tiling and made._fits(untiled, batch.clips[0]))
        assert not batch.plan.vae_tiling or made._fits(batch.plan, batch.clips[0])
    assert any(batch.plan.vae_tiling for batch in batches)


def test_pocket_models_get_three_small_clips_under_two_plans() -> None:
    for model in CATALOGUE.models:
        if model.weights == "pocket":
            (only,) = default_grid(model, on_gpu=True).rounds
            assert (len(only.plans), len(only.clips)) == (2, 3)


def test_out_of_memory_and_an_empty_report_can_be_printed(file: Path) -> None:
    place = bench._target("cpu").place
    empty = BenchReport(wan_tui="0", model="t2v-pocket", weights=BenchWeights.SYNTHETIC, place=place, started_at=0.0)
    assert "t2v-pocket (synthetic weights)" in report_text(empty)
    model = CATALOGUE.find("t2v-pocket")
    (clip, *_) = default_grid(model, on_gpu=False).rounds[0].clips
    run = bench.Run(
        plan=cpu_plan(),
        options="everything resident",
        clip=clip,
        estimate=bench.estimate_before_start(model, cpu_plan(), clip, None),
        outcome=Outcome.OUT_OF_MEMORY,
        ended_at=1.0,
        reason="tried to allocate 2 GiB",
        failed_phase=Phase.VAE_DECODE,
    )
    report = empty.with_run(run)
    assert "out_of_memory in vae_decode: tried to allocate 2 GiB" in report_text(report)
    write_report(file, report)
    assert known(file) == report
    assert report.measured() == {run.key}, "out of memory is a result"
