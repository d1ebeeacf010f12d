"""``python -m tests.gpu.check --report FILE``: what is true of a real GPU, measured by one command that runs anywhere.

Without CUDA every part that needs it says so and is skipped; with ``--device cpu --pocket`` the chain runs on the
processors. What the report has already is not measured again, so a session that is cut off goes on where it stopped.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.gpu import probe
from tests.gpu.options import OPTIONS
from tests.gpu.page import page
from tests.gpu.report import Outcome, Part, Record, Report
from wan_tui.cli.bench_report import BenchReport, Run, read_report
from wan_tui.core.hardware.look import look
from wan_tui.core.planning.calibration import plan_key

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
    parser.add_argument("--minutes", type=float, default=28.0, help="begin nothing after so long (default: 28)")
    parser.add_argument("--page", type=Path, default=None, help=f"also write tables in Markdown, such as {PAGE.name}")
    given = parser.parse_args(arguments)
    check = Check(Report(given.report), _device(given.device), given.report, time.monotonic() + 60 * given.minutes)
    check.probe()
    check.options()
    check.unload()
    for model in POCKETS if given.pocket else MODELS:
        check.grid(model, pocket=given.pocket)
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
            return "none" if self.device is None else f"cpu {host.cpu_name} x{host.cpu_count}"
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
        patience = time.monotonic() + RELEASE_SECONDS
        while (left := self._used_bytes() - before) > UNRELEASED_BYTES and time.monotonic() < patience:
            time.sleep(0.5)
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

    def _used_bytes(self) -> int:
        hardware, _ = look()
        return next(gpu.memory_used_bytes or 0 for gpu in hardware.gpus if f"gpu:{gpu.index}" == self.device)

    def grid(self, model: str, *, pocket: bool) -> None:
        """``wan-tui bench`` of the model's grid; its own report lies beside, and is what a refit reads."""
        if self.device is None:
            self._skip(Part.GRID, model, "no CUDA device")
            return
        if self._late(Part.GRID, model):
            return
        beside = self.file.with_name(f"{self.file.stem}-{model}.json")
        weights = "pocket" if pocket else "synthetic"
        command = [sys.executable, "-m", "wan_tui", "bench", model, "--weights", weights, "--report", str(beside)]
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
                "stage_seconds": {phase.phase: phase.seconds for phase in run.phases},
            },
        )


if __name__ == "__main__":
    raise SystemExit(main())
