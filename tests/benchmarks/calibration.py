"""How soon estimates become good on a new host: the pocket model on the CPU, changing shapes, estimate beside run.

``python -m tests.benchmarks.calibration [--runs 30] [--seed 1] [--image FILE.png]`` runs the real engine with an
empty history, prints every run, the median error after the first five and the coverage of the 90 % intervals.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.plot import Point, draw_estimates
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.config.settings import PathSettings, PollingSettings
from wan_tui.core.engine import Engine
from wan_tui.core.history import Kind, Record
from wan_tui.core.history.reading import read_history
from wan_tui.core.planning.calibration import Coverage, coverage
from wan_tui.core.planning.plan import GenerationRequest

SIZES = ((64, 64), (96, 64), (128, 96), (128, 128), (160, 96), (192, 128), (208, 112), (256, 144))
FRAMES = (5, 9, 13, 17, 25, 33)
STEPS = (2, 4, 6, 8, 12)
GUIDANCE = (1.0, 4.0)
LEARNING_RUNS = 5
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Result:
    """Runs in order; ``median_error`` and ``covered`` leave out the first five."""

    runs: tuple[Record, ...]

    @property
    def judged(self) -> tuple[Record, ...]:
        return self.runs[LEARNING_RUNS:]

    @property
    def median_error(self) -> float:
        return statistics.median(abs(error(run)) for run in self.judged)

    @property
    def covered(self) -> Coverage:
        totals = (run.total for run in self.judged)
        return coverage((total.shown, total.observed) for total in totals if total and total.shown)


def error(run: Record) -> float:
    """(observed - estimated) / estimated."""
    assert run.total is not None
    assert run.total.expected is not None
    return run.total.observed / run.total.expected - 1


def request(number: int, random_shapes: random.Random) -> GenerationRequest:
    width, height = random_shapes.choice(SIZES)
    return GenerationRequest(
        deployment="pocket",
        prompt="a red circle moving right",
        width=width,
        height=height,
        frames=random_shapes.choice(FRAMES),
        steps=random_shapes.choice(STEPS),
        guidance=random_shapes.choice(GUIDANCE),
        seed=number,
    )


async def measure(runs: int, seed: int, home: Path) -> Result:
    """Generate ``runs`` clips one after the other; every estimate knows only the runs before it."""
    settings = Settings(
        paths=PathSettings(outputs=home / "outputs", history=home / "history.sqlite3"),
        polling=PollingSettings(interval_seconds=1.0),
        deployments={"pocket": DeploymentSettings(model="t2v-pocket", profile="cpu")},
    )
    shapes = random.Random(seed)
    async with Engine(settings) as engine:
        for number in range(runs):
            job_id = await engine.generate(request(number, shapes))
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for snapshot in engine.snapshots():
                    job = snapshot.job(job_id)
                    if job is not None and job.state.ended:
                        assert job.failure is None, job.failure
                        break
    kept = [record for record in read_history(settings.paths.history) if record.kind is Kind.RUN]
    return Result(tuple(reversed(kept)))


def table(result: Result) -> str:
    lines = [" RUN  SHAPE                     BASIS           EST. LOW    EST.    HIGH   OBSERVED    ERROR"]
    for number, run in enumerate(result.runs, start=1):
        total, clip = run.total, run.clip
        assert total is not None
        assert clip is not None
        shape = f"{clip.width}x{clip.height}x{clip.frames}, {clip.steps} steps, cfg {clip.guidance:g}"
        basis = f"{run.basis} ({run.runs})"
        if total.shown is None:
            lines.append(
                f"{number:>4}  {shape:<24}  {'none':<16} {'--':>7} {'--':>7} {'--':>7}  {total.observed:>9.3f}"
            )
            continue
        inside = "" if total.shown.low <= total.observed <= total.shown.high else "  outside"
        shown = f"{total.shown.low:>7.3f} {total.shown.expected:>7.3f} {total.shown.high:>7.3f}"
        lines.append(
            f"{number:>4}  {shape:<24}  {basis:<16} {shown}  {total.observed:>9.3f}  {error(run):>+7.1%}{inside}"
        )
    return "\n".join(lines)


def points(result: Result) -> list[Point]:
    return [
        Point(run.total.shown, run.total.observed, learning=number < LEARNING_RUNS)
        for number, run in enumerate(result.runs)
        if run.total and run.total.shown
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibration")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1, help="of the order of shapes")
    parser.add_argument("--image", type=Path, help="PNG of estimated against observed seconds")
    given = parser.parse_args(arguments)
    if given.runs <= LEARNING_RUNS:
        parser.error(f"--runs {given.runs}: more than the {LEARNING_RUNS} that are learnt from")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as home:
        result = asyncio.run(measure(given.runs, given.seed, Path(home)))
    covered = result.covered
    sys.stdout.write(
        f"{table(result)}\n"
        f"after {LEARNING_RUNS} runs: median error {result.median_error:.1%}, "
        f"{covered.inside} of {covered.runs} inside the 90 % interval ({covered.ratio or 0:.0%})\n"
    )
    if given.image is not None:
        draw_estimates(
            points(result), given.image, title=f"pocket model on the CPU, {given.runs} runs, changing shapes"
        )
        sys.stdout.write(f"plot: {given.image}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
