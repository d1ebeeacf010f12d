"""``python -m tests.gpu.check --report FILE``: what is true of a real GPU, measured by one command that runs anywhere.

Without CUDA every part that needs it says so and is skipped; with ``--device cpu --pocket`` the chain runs on the
processors. What the report has already is not measured again, so a session that is cut off goes on where it stopped.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.faults.forking import Zygote
from tests.gpu import memory, probe
from tests.gpu.options import OPTIONS
from tests.gpu.page import page
from tests.gpu.report import NO_DEVICE, Outcome, Part, Record, Report
from wan_tui.cli.bench_report import BenchReport, Run, read_report
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.hardware.look import look
from wan_tui.core.planning.calibration import plan_key
from wan_tui.core.planning.grid import Round, default_grid

# True architectures first where they tell most for their minutes: 5B fits most cards, t2v answers for i2v as well.
MODELS = ("ti2v-5B", "t2v-A14B", "i2v-A14B")
POCKETS = ("t2v-pocket",)
PAGE = Path(__file__).with_name("REPORT.md")
# What the driver may still book for a process that is gone, after so many seconds.
UNRELEASED_BYTES = 64 << 20
RELEASE_SECONDS = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when anything failed, else 0, also when everything was skipped."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.check", description=__doc__)
    parser.add_argument("--report", type=Path, required=True, help="JSON lines; goes on from what is in it")
    parser.add_argument("--device", default="auto", help="auto (the first GPU), gpu:N or cpu")
    parser.add_argument("--pocket", action="store_true", help="the grid of the pocket model instead of the real ones")
    parser.add_argument("--only", type=Part, choices=list(Part), default=None, metavar="PART", help=", ".join(Part))
    parser.add_argument("--minutes", type=float, default=28.0, help="begin nothing after so long (default: 28)")
    parser.add_argument("--page", type=Path, default=None, help=f"also write tables in Markdown, such as {PAGE.name}")
    given = parser.parse_args(arguments)
    check = Check(Report(given.report), _device(given.device), given.report, time.monotonic() + 60 * given.minutes)
    models = POCKETS if given.pocket else MODELS
    parts: Mapping[Part, Callable[[], None]] = {
        Part.PROBE: check.probe,
        Part.OPTIONS: check.options,
        Part.UNLOAD: check.unload,
        Part.OUT_OF_MEMORY: check.out_of_memory,
        Part.GRID: lambda: check.grids(models, pocket=given.pocket),
    }
    for part, run in parts.items():
        if given.only in (None, part):
            run()
    if given.page is not None:
        given.page.write_text(page(check.report.records))
    counts = {outcome: sum(one.outcome is outcome for one in check.report.records) for outcome in Outcome}
    print(", ".join(f"{number} {outcome}" for outcome, number in counts.items()))  # noqa: T201
    return 1 if counts[Outcome.FAILED] else 0


def _device(wanted: str) -> str | None:
    """``gpu:N`` or ``cpu``; None for ``auto`` where there is no GPU that torch can use."""
    if wanted != "auto":
        return wanted
    import torch

    return "gpu:0" if torch.cuda.is_available() else None


@dataclasses.dataclass(slots=True)
class Check:
    """``device`` None: there is no GPU, and everything is skipped. Nothing is begun after ``until``."""

    report: Report
    device: str | None
    file: Path
    until: float

    @property
    def name(self) -> str:
        """Product name of the device."""
        hardware, host = look()
        if self.device is None or self.device == "cpu":
            return NO_DEVICE if self.device is None else f"cpu {host.cpu_name} x{host.cpu_count}"
        return next(gpu.name for gpu in hardware.gpus if f"gpu:{gpu.index}" == self.device)

    def _keep(self, record: Record) -> None:
        self.report.add(record)
        sys.stderr.write(f"{record.part} {record.key}: {record.outcome}{': ' + record.says if record.says else ''}\n")

    def _skip(self, part: Part, key: str, why: str) -> None:
        self._keep(Record(part=part, key=key, device=self.name, outcome=Outcome.SKIPPED, says=why))

    def _late(self, part: Part, key: str) -> bool:
        if time.monotonic() < self.until:
            return False
        self._skip(part, key, "no time left: run the same command again")
        return True

    def probe(self) -> None:
        """Every field of the NVML probe against ``nvidia-smi -q -x``."""
        if self.device is None or self.device == "cpu":
            self._skip(Part.PROBE, "fields", "no GPU to read" if self.device is None else "a processor has no NVML")
            return
        for found in probe.compare(int(self.device.removeprefix("gpu:"))):
            outcome = Outcome.SKIPPED if found.agrees is None else Outcome.PASSED if found.agrees else Outcome.FAILED
            detail = {"probe": found.ours, "nvidia_smi": found.theirs}
            self._keep(
                Record(
                    part=Part.PROBE, key=found.field, device=self.name, outcome=outcome, says=found.says, detail=detail
                )
            )

    def options(self) -> None:
        """Every execution option with the pocket model; those that crash their process are found out one by one."""
        if self.device is None:
            self._skip(Part.OPTIONS, "all", "no CUDA device")
            return
        left = [name for name in OPTIONS if not self.report.has(Part.OPTIONS, self.name, name)]
        while left and not self._late(Part.OPTIONS, left[0]):
            for line in self._run_options(left):
                said = json.loads(line)
                left.remove(said["name"])
                self._keep(
                    Record(
                        part=Part.OPTIONS,
                        key=said["name"],
                        device=self.name,
                        outcome=Outcome(said["outcome"]),
                        says=said.get("says", ""),
                        seconds=said["seconds"],
                        detail=said.get("detail", {}),
                    )
                )
            if left:
                name = left.pop(0)
                self._keep(
                    Record(
                        part=Part.OPTIONS, key=name, device=self.name, outcome=Outcome.FAILED, says="its process died"
                    )
                )

    def _run_options(self, names: list[str]) -> Iterator[str]:
        assert self.device is not None
        with tempfile.TemporaryDirectory(prefix="wan-tui-check-") as cache:
            command = [sys.executable, "-m", "tests.gpu.options", "--device", self.device, "--cache", cache, *names]
            visible = "" if self.device == "cpu" else self.device.removeprefix("gpu:")
            environment = os.environ | {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
            ) as process:
                assert process.stdout is not None
                yield from (line for line in process.stdout if line.startswith("{"))

    def unload(self) -> None:
        """The driver's figure before a worker and after it ended: what is not returned is a leak."""
        if self.device is None or self.device == "cpu":
            why = "no CUDA device" if self.device is None else "memory of a process ends with it"
            self._skip(Part.UNLOAD, "pocket", why)
            return
        if self.report.has(Part.UNLOAD, self.name, "pocket") or self._late(Part.UNLOAD, "pocket"):
            return
        before = self._used_bytes()
        list(self._run_options(["plain"]))
        left = self._left_bytes(before)
        outcome = Outcome.PASSED if left <= UNRELEASED_BYTES else Outcome.FAILED
        self._keep(
            Record(
                part=Part.UNLOAD,
                key="pocket",
                device=self.name,
                outcome=outcome,
                says=f"{left >> 20} MiB are still booked",
                detail={"before_bytes": before, "left_bytes": left},
            )
        )

    def out_of_memory(self) -> None:
        """In each phase, through the engine: a smaller plan, the same again, and the driver has the memory back."""
        if self.device is None:
            self._skip(Part.OUT_OF_MEMORY, "all", "no CUDA device")
            return
        on_gpu = self.device != "cpu"
        left = [place for place in memory.PLACES if not self.report.has(Part.OUT_OF_MEMORY, self.name, place)]
        with tempfile.TemporaryDirectory(prefix="wan-tui-check-") as folder, contextlib.ExitStack() as stack:
            zygote = None
            if left and not on_gpu:
                zygote = stack.enter_context(contextlib.closing(Zygote(Path(folder) / "cache")))
            for place in left:
                if self._late(Part.OUT_OF_MEMORY, place):
                    return
                self._keep(self._recovered(place, Path(folder) / place, zygote))

    def _recovered(self, place: str, home: Path, zygote: Zygote | None) -> Record:
        assert self.device is not None
        began, on_gpu = time.monotonic(), zygote is None
        before = self._used_bytes() if on_gpu else 0
        detail: dict[str, object] = {}
        try:
            found = memory.recover(place, home, self.device, zygote)
        except Exception as error:  # what goes wrong in one phase says nothing of the others
            problem: str | None = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        else:
            problem, detail = found.problem, dataclasses.asdict(found)
            if on_gpu and problem is None and not found.is_real:
                problem = f"torch's allocator did not say it: {found.failure}"
        if on_gpu:
            left = self._left_bytes(before)
            detail |= {"before_bytes": before, "left_bytes": left}
            if problem is None and left > UNRELEASED_BYTES:
                problem = f"{left >> 20} MiB are still booked"
        return Record(
            part=Part.OUT_OF_MEMORY,
            key=place,
            device=self.name,
            outcome=Outcome.PASSED if problem is None else Outcome.FAILED,
            says=problem or f"{found.plans[0]}, then {found.plans[1]}: {found.job}",
            seconds=round(time.monotonic() - began, 3),
            detail=detail,
        )

    def _left_bytes(self, before: int) -> int:
        """What the driver still books beyond ``before``, once that is little or it had its time."""
        patience = time.monotonic() + RELEASE_SECONDS
        while (left := self._used_bytes() - before) > UNRELEASED_BYTES and time.monotonic() < patience:
            time.sleep(0.5)
        return left

    def _used_bytes(self) -> int:
        hardware, _ = look()
        return next(gpu.memory_used_bytes or 0 for gpu in hardware.gpus if f"gpu:{gpu.index}" == self.device)

    def grids(self, models: Sequence[str], *, pocket: bool) -> None:
        """The rounds of all models by value: the first of each model, then the second of each, and so on."""
        if self.device is None:
            for model in models:
                self._skip(Part.GRID, model, "no CUDA device")
            return
        for model, one in rounds(models, on_gpu=self.device != "cpu"):
            self.grid(model, one, pocket=pocket)

    def grid(self, model: str, one: Round, *, pocket: bool) -> None:
        """``wan-tui bench`` of a round of the model's grid; its own report lies beside and is gone on from."""
        if self._late(Part.GRID, model):
            return
        beside = self.file.with_name(f"{self.file.stem}-{model}.json")
        weights = "pocket" if pocket else "synthetic"
        command = [sys.executable, "-m", "wan_tui", "bench", model, "--weights", weights, "--report", str(beside)]
        wanted = self.file.with_name(f"{self.file.stem}-{model}.toml")
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.write_text(grid_toml(one))
        command += ["--grid", str(wanted)]
        # What a run measured is in its report at once, so that the end of the time costs one run at most.
        try:
            done = subprocess.run(
                [*command, "--device", self.device, "--json"],
                capture_output=True,
                text=True,
                timeout=max(self.until - time.monotonic(), 1.0),
            )
            told = "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
        except subprocess.TimeoutExpired:
            told = "no time left: run the same command again"
        finally:
            wanted.unlink(missing_ok=True)
        found: BenchReport | None = read_report(beside)
        for run in found.runs if found is not None else ():
            self._keep(self._of_run(model, run))
        if found is None or told:
            self._skip(Part.GRID, model, told or "nothing was measured")

    def _of_run(self, model: str, run: Run) -> Record:
        clip = run.clip
        measured = run.outcome.measured
        shown = run.estimate.shown_time
        return Record(
            part=Part.GRID,
            key=f"{model} {clip.width}x{clip.height} {clip.frames} frames, {run.options}",
            device=self.name,
            outcome=Outcome.PASSED if measured else Outcome.SKIPPED,
            says=run.reason or "",
            seconds=run.seconds or 0.0,
            detail={
                "model": model,
                "plan": plan_key(run.plan),
                "clip": dataclasses.asdict(clip),
                "outcome": run.outcome,
                "estimated_peak_bytes": run.estimate.memory.peak.expected,
                "peak_bytes": run.peak_bytes,
                "estimated_seconds": shown.total.expected if shown else None,
                "estimated_stage_seconds": {stage: one.expected for stage, one in shown.stages.items()}
                if shown
                else {},
                "reference_factors": shown.factors if shown else {},
                "stage_seconds": {phase.phase: phase.seconds for phase in run.phases},
            },
        )


def rounds(models: Sequence[str], *, on_gpu: bool) -> Iterator[tuple[str, Round]]:
    """What is measured, in this order: when time is up, the best of every model is done."""
    grids = {model: default_grid(load_catalogue().find(model), on_gpu=on_gpu).rounds for model in models}
    for together in itertools.zip_longest(*grids.values()):
        yield from ((model, one) for model, one in zip(grids, together, strict=True) if one is not None)


def grid_toml(one: Round) -> str:
    """The round as a grid of ``wan-tui bench``: every size with every length, of which it knows some by then."""
    sizes = list(dict.fromkeys(f"{clip.width}x{clip.height}" for clip in one.clips))
    frames, steps = (list(dict.fromkeys(getattr(clip, key) for clip in one.clips)) for key in ("frames", "steps"))
    return f"sizes = {json.dumps(sizes)}\nframes = {frames}\nsteps = {steps}\n"


if __name__ == "__main__":
    raise SystemExit(main())
