"""A scenario's whole history as OpenMetrics text with timestamps.

It is for ``promtool tsdb create-blocks-from openmetrics``.
"""

import asyncio
import contextlib
import functools
import shutil
import tempfile
import time
from pathlib import Path
from typing import TextIO

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wan_exporter.demo.clock import run_simulated
from wan_exporter.demo.scenarios import Scenario, play
from wan_exporter.demo.setting import staged
from wan_tui.core.errors import WanTuiError

JOB, INSTANCE = "wantui", "demo:12022"
# An incident fills the middle of its history: there is a before and an after.
BEGIN_SHARE, END_SHARE = 0.3, 0.75
PLACE_DIGITS = 6

Labels = tuple[tuple[str, str], ...]


def write_history(scenario: Scenario, file: Path, *, days: float, step_seconds: float, end: float) -> None:
    """Play ``scenario`` for ``days`` that end at ``end`` (Unix seconds), scraped every ``step_seconds``.

    Raises WanTuiError when ``file`` cannot be written.
    """
    try:
        with file.open("w", encoding="utf-8") as output, contextlib.closing(_Families()) as families:
            run_simulated(lambda: _record(scenario, families, days * 86_400, step_seconds), end - days * 86_400)
            families.write(output)
    except OSError as error:
        raise WanTuiError(f"{file}: cannot write the history: {error.strerror}") from None


async def _record(scenario: Scenario, families: "_Families", length: float, step: float) -> None:
    begin, end = length * BEGIN_SHARE, length * END_SHARE
    async with staged(step, begin_seconds=begin, end_seconds=end) as (stage, registry):
        playing = asyncio.create_task(play(scenario, stage))
        try:
            while time.time() < stage.started_at + length and not playing.done():
                families.add(registry, time.time(), answers=not stage.silent)
                await asyncio.sleep(step)
            if playing.done():
                playing.result()
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


class _Families:
    """Samples on disk until all are there: OpenMetrics wants those of a family together, and of each label set in it.

    Lines begin with the place of their label set in the family.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wan-exporter-history-"))
        self._open: dict[str, TextIO] = {}
        self._kinds: dict[str, str] = {}
        self._places: dict[str, dict[Labels, int]] = {}

    def add(self, registry: Collector, at: float, *, answers: bool) -> None:
        """One scrape, with what Prometheus adds to it."""
        families = list(registry.collect()) if answers else []
        samples = 0
        for family in families:
            samples += len(family.samples)
            self._append(family, at)
        seconds = 0.004 + samples * 9e-6
        for name, value in (
            ("up", float(answers)),
            ("scrape_samples_scraped", samples),
            ("scrape_duration_seconds", seconds),
        ):
            self._append(GaugeMetricFamily(name, "Prometheus' own about each scrape.", value=value), at)

    def _append(self, family: Metric, at: float) -> None:
        name = family.name
        if name not in self._open:
            self._open[name] = (self._folder / name).open("w+", encoding="utf-8")
            self._kinds[name], self._places[name] = family.type, {}
        places, lines = self._places[name], self._open[name]
        for sample in family.samples:
            labels = tuple(sample.labels.items())
            # The buckets of a histogram are one label set.
            own = tuple(label for label in labels if label[0] != "le")
            place = places.setdefault(own, len(places))
            lines.write(f"{place:0{PLACE_DIGITS}}{_series(sample.name, labels)} {float(sample.value)!r} {at:.3f}\n")

    def write(self, output: TextIO) -> None:
        for name, lines in self._open.items():
            output.write(f"# TYPE {name} {self._kinds[name]}\n")
            lines.seek(0)
            # Sorting keeps the order in time within each label set.
            output.writelines(line[PLACE_DIGITS:] for line in sorted(lines, key=lambda line: line[:PLACE_DIGITS]))
        output.write("# EOF\n")

    def close(self) -> None:
        for lines in self._open.values():
            lines.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@functools.cache
def _series(name: str, labels: Labels) -> str:
    every = (*labels, ("job", JOB), ("instance", INSTANCE))
    text = ",".join(f'{label}="{_escaped(word)}"' for label, word in every)
    return f"{name}{{{text}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
