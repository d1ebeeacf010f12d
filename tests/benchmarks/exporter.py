"""wan-exporter beside nvitop-exporter: the same run, the same simulated driver, each a process of its own.

``python -m tests.benchmarks.exporter [--gpus 1 8 64] [--scrapes N] [--no-age]`` prints what a scrape takes, what it
costs in processor time, how old its data are when each driver call takes 50 ms, and how 50 scrapers at once fare.
Ours serves every scrape afresh here, although a real one shares its work with those of the same second; only the 50
scrapers meet it as it is. nvitop-exporter comes with ``pip install 'wan-tui[bench]'``.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests import simnvml
from tests.simnvml import Scenario, SimGpu

LATENCY_MILLISECONDS = 50
SCRAPERS = 50
ROUNDS = 5
TICKS = os.sysconf("SC_CLK_TCK")
CONFIG = """\
[paths]
outputs = "{home}/outputs"
history = "{home}/history.sqlite3"
[polling]
interval_seconds = 1.0
deadline_seconds = {deadline}
"""
# As it is, but for sharing: each scrape is a cold one.
ALONE = "import wan_exporter.exposition as e; e.SHARED_SECONDS = 0.0; "
OURS = "from wan_exporter.__main__ import main; import sys; sys.exit(main(sys.argv[1:]))"
PATTERNS = {
    "ours": r'^wantui_gpu_temperature_celsius{{gpu="{gpu}",.*sensor="core".*}} (\S+)$',
    "nvitop": r'^gpu_temperature\S*{{.*index="{gpu}".*}} (\S+)$',
}


def peer_installed() -> bool:
    return importlib.util.find_spec("nvitop_exporter") is not None


@dataclass(frozen=True)
class Exporter:
    """One of the two as a process that listens at ``url``."""

    kind: str
    url: str
    pid: int

    def scrape(self) -> str:
        with urllib.request.urlopen(self.url, timeout=60) as answer:
            return bytes(answer.read()).decode()

    def temperature(self, gpu: int) -> float | None:
        match = re.search(PATTERNS[self.kind].format(gpu=gpu), self.scrape(), re.M)
        return float(match[1]) if match else None

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_bytes(self) -> int:
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert match is not None
        return int(match[1]) * 1024


@dataclass(frozen=True)
class Figures:
    """Seconds of one scrape (median and 99 of 100), processor seconds of one, series, and memory of the process."""

    p50: float
    p99: float
    cpu: float
    series: int
    rss_bytes: int

    @property
    def p50_per_series(self) -> float:
        return self.p50 / self.series

    @property
    def cpu_per_series(self) -> float:
        return self.cpu / self.series


class Driver:
    """The simulated driver of ``gpus`` GPUs in ``home``, as a file that can change while both exporters run."""

    def __init__(self, home: Path, gpus: int, latency_milliseconds: int | None = None) -> None:
        self.scenario = Scenario(
            gpus=[SimGpu(name="NVIDIA H100 80GB HBM3") for _ in range(gpus)], latency_milliseconds=latency_milliseconds
        )
        self._file = home / "scenario"
        self.apply()
        self.environment = {**simnvml.environment(simnvml.build(home / "nvml"), self._file), "HOME": str(home)}
        for name in ("CONFIG", "DATA", "CACHE", "STATE", "RUNTIME"):
            folder = home / name.lower()
            folder.mkdir(mode=0o700, exist_ok=True)
            self.environment[f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}"] = str(folder)

    def apply(self) -> None:
        self.scenario.write(self._file)


@contextlib.contextmanager
def running(kind: str, driver: Driver, home: Path, *, shared: bool = False) -> Iterator[Exporter]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if kind == "ours":
        config = home / "wan-tui.toml"
        # Deadlines are for a driver that hangs; one that is slow and answers is what is measured here.
        config.write_text(CONFIG.format(home=home, deadline=10.0 if driver.scenario.latency_milliseconds else 2.0))
        program = [sys.executable, "-c", ("" if shared else ALONE) + OURS, f"--config={config}"]
        command = [*program, f"--web.listen-address=127.0.0.1:{port}"]
    else:
        command = [sys.executable, "-m", "nvitop_exporter", "--hostname", "127.0.0.1", "--port", str(port)]
        command += ["--interval", "1"]
    process = subprocess.Popen(
        command, env=driver.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path.cwd()
    )
    exporter = Exporter(kind, f"http://127.0.0.1:{port}/metrics", process.pid)
    try:
        _wait_for(process, exporter, len(driver.scenario.gpus))
        yield exporter
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], exporter: Exporter, gpus: int) -> None:
    """Until the last GPU has a temperature."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        assert process.poll() is None, f"{exporter.kind} ended"
        with contextlib.suppress(OSError):
            if exporter.temperature(gpus - 1) is not None:
                return
        time.sleep(0.2)
    raise AssertionError(f"{exporter.kind} has no figures")


def measure(exporters: list[Exporter], scrapes: int) -> dict[str, Figures]:
    """Scrapes in turns, so that whatever else this machine does happens to all of them."""
    seconds: dict[str, list[float]] = {one.kind: [] for one in exporters}
    for one in exporters:
        one.scrape()
    for _ in range(scrapes):
        for one in exporters:
            began = time.perf_counter()
            one.scrape()
            seconds[one.kind].append(time.perf_counter() - began)
    found = {}
    for one in exporters:
        lines = [line for line in one.scrape().splitlines() if line and not line.startswith("#")]
        ordered = sorted(seconds[one.kind])
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        cpu = cpu_of_a_scrape(one, scrapes)
        found[one.kind] = Figures(statistics.median(ordered), p99, cpu, len(lines), one.rss_bytes())
    return found


def cpu_of_a_scrape(exporter: Exporter, scrapes: int) -> float:
    """Processor seconds of a scrape, beyond what the process takes by itself in the same time."""
    before, began = exporter.cpu_seconds(), time.perf_counter()
    for _ in range(scrapes):
        exporter.scrape()
    busy, window = exporter.cpu_seconds() - before, time.perf_counter() - began
    before = exporter.cpu_seconds()
    time.sleep(max(window, 2.0))
    idle = (exporter.cpu_seconds() - before) * window / max(window, 2.0)
    return max(0.0, busy - idle) / scrapes


def age_seconds(exporter: Exporter, driver: Driver, trials: int) -> float:
    """The longest time from a change in the driver to the scrape that shows it, of the last GPU."""
    last, longest = len(driver.scenario.gpus) - 1, 0.0
    for trial in range(trials):
        wanted = 40 + trial + (20 if exporter.kind == "ours" else 30)
        driver.scenario.gpus[last].temperature_celsius = wanted
        driver.apply()
        began = time.monotonic()
        while exporter.temperature(last) != wanted:
            assert time.monotonic() - began < 300
            time.sleep(0.05)
        longest = max(longest, time.monotonic() - began)
    return longest


def poll_seconds(exporter: Exporter) -> float:
    """How long one poll of the driver takes ours, or the pause between two if that is longer."""
    text = exporter.scrape()
    names = ("last_duration_seconds", "interval_seconds")
    found = [re.search(rf'^wantui_poller_{name}{{poller="nvml"}} (\S+)$', text, re.M) for name in names]
    return max(float(match[1]) for match in found if match is not None)


async def crowd(exporter: Exporter) -> tuple[float, int]:
    """99 of 100 scrapes by 50 scrapers at once take no longer than so many seconds; and how many failed."""
    seconds, errors = list[float](), 0

    async def scraper(session: aiohttp.ClientSession) -> None:
        nonlocal errors
        for _ in range(ROUNDS):
            began = time.perf_counter()
            try:
                async with session.get(exporter.url) as response:
                    await response.read()
                    errors += response.status != 200
            except (aiohttp.ClientError, TimeoutError):
                errors += 1
            seconds.append(time.perf_counter() - began)

    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await asyncio.gather(*(scraper(session) for _ in range(SCRAPERS)))
    ordered = sorted(seconds)
    return ordered[int(len(ordered) * 0.99)], errors


def kinds() -> list[str]:
    return ["ours", "nvitop"] if peer_installed() else ["ours"]


def compare(gpus: int, scrapes: int) -> dict[str, Figures]:
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        driver = Driver(Path(place), gpus)
        return measure([stack.enter_context(running(kind, driver, Path(place))) for kind in kinds()], scrapes)


def compare_ages(gpus: int, trials: int) -> dict[str, float]:
    """Ages in seconds, and the length of a poll of ours as ``poll``."""
    found = {}
    for kind in kinds():
        with tempfile.TemporaryDirectory() as place:
            driver = Driver(Path(place), gpus, LATENCY_MILLISECONDS)
            with running(kind, driver, Path(place)) as exporter:
                found[kind] = age_seconds(exporter, driver, trials)
                if kind == "ours":
                    found["poll"] = poll_seconds(exporter)
    return found


def compare_crowds(gpus: int) -> dict[str, tuple[float, int]]:
    found = {}
    for kind in kinds():
        with tempfile.TemporaryDirectory() as place:
            driver = Driver(Path(place), gpus)
            with running(kind, driver, Path(place), shared=True) as exporter:
                found[kind] = asyncio.run(crowd(exporter))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--scrapes", type=int, default=100)
    parser.add_argument("--no-age", action="store_true")
    given = parser.parse_args()
    out = sys.stdout.write
    for gpus in given.gpus:
        figures = compare(gpus, given.scrapes)
        for kind, one in figures.items():
            out(
                f"{gpus:3} GPUs {kind:7} p50 {one.p50 * 1e3:7.1f} ms  p99 {one.p99 * 1e3:7.1f} ms  "
                f"CPU {one.cpu * 1e3:7.1f} ms  {one.series:6} series  {one.p50_per_series * 1e6:6.1f} us/series  "
                f"{one.cpu_per_series * 1e6:6.1f} us CPU/series  RSS {one.rss_bytes / 2**20:.0f} MiB\n"
            )
        for kind, (p99, errors) in compare_crowds(gpus).items():
            out(f"{gpus:3} GPUs {kind:7} {SCRAPERS} scrapers at once: p99 {p99:.3f} s, {errors} errors\n")
        if not given.no_age:
            ages = compare_ages(gpus, 2)
            told = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in ages.items())
            out(f"{gpus:3} GPUs age of the data when a call takes {LATENCY_MILLISECONDS} ms: {told}\n")


if __name__ == "__main__":
    main()
