"""The screens beside nvitop on the same simulated GPUs, each once a second on a real terminal.

``python -m tests.benchmarks.ui [SECONDS]`` prints, for 8 and 64 GPUs at 80x24 and 160x48: CPU seconds per minute, bytes
that the terminal is sent per second, and resident memory. wan-tui is the process of the screens; what its agent
uses, which also serves metrics and alerts, stands beside it. Time to the first frame: ``tests.benchmarks.startup``.
"""

import contextlib
import fcntl
import json
import os
import pty
import random
import select
import signal
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests import simnvml

# One deployment that is planned on the processors: what is compared is showing GPUs, not planning on them.
CONFIGURATION = """
[exporter]
port = 0
[polling]
interval_seconds = 1.0
[deployments.pocket]
model = "t2v-pocket"
profile = "cpu"
device = "cpu"
"""
SIZES = ((80, 24), (160, 48))
WARM_SECONDS = 8.0
START_SECONDS = 90.0


@dataclass(frozen=True)
class Usage:
    """What one program needed while ``gpus`` GPUs changed every second."""

    program: str
    gpus: int
    size: str
    cpu_seconds_per_minute: float
    bytes_per_second: float
    resident_mib: float
    agent_cpu_seconds_per_minute: float | None = None


class Busy(threading.Thread):
    """GPUs whose figures change every second."""

    def __init__(self, count: int, file: Path) -> None:
        super().__init__(daemon=True)
        self._file = file
        self._over = threading.Event()
        self._scenario = simnvml.Scenario(gpus=[simnvml.SimGpu() for _ in range(count)])
        self._random = random.Random(7)
        self._change()

    def _change(self) -> None:
        for gpu in self._scenario.gpus:
            gpu.utilization_percent = self._random.randrange(101)
            gpu.power_milliwatts = self._random.randrange(60_000, 450_000)
            gpu.temperature_celsius = self._random.randrange(40, 85)
            gpu.memory_used_bytes = 4 * simnvml.GIB + self._random.randrange(256) * 2**20
        self._scenario.write(self._file)

    def run(self) -> None:
        while not self._over.wait(1.0):
            self._change()

    def stop(self) -> None:
        self._over.set()
        self.join()


@contextlib.contextmanager
def on_terminal(arguments: list[str], environment: dict[str, str], size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The program on a terminal of its own: its pid, and the other end of the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        time.sleep(0.2)  # until the terminal has its size
        os.execve(sys.executable, [sys.executable, *arguments], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    try:
        yield pid, terminal
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def read_for(terminal: int, seconds: float) -> bytes:
    """What is written to the terminal meanwhile."""
    deadline, seen = time.monotonic() + seconds, b""
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([terminal], [], [], left)
        if ready:
            seen += os.read(terminal, 1 << 16)
    return seen


def cpu_of(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def measure(program: str, gpus: int, size: tuple[int, int], seconds: float, folder: Path, library: Path) -> Usage:
    """Raises TimeoutError when the program shows nothing."""
    home = folder / f"{program}-{gpus}-{size[0]}"
    home.mkdir()
    scenario = home / "scenario"
    busy = Busy(gpus, scenario)
    environment = simnvml.environment(library, scenario) | {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "PYTHONPATH": os.environ.get("PYTHONPATH", os.getcwd()),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LC_ALL": "C.UTF-8",
    }
    if program == "nvitop":
        arguments, marker = ["-m", "nvitop", "--interval", "1", "--monitor", "auto"], b"24.00GiB"
    else:
        (home / "wan-tui.toml").write_text(CONFIGURATION)
        environment["WANTUI_CONFIG"] = str(home / "wan-tui.toml")
        arguments, marker = ["-m", "wan_tui", "--refresh", "1"], b"4090"
    busy.start()
    try:
        with on_terminal(arguments, environment, size) as (pid, terminal):
            shown, deadline = b"", time.monotonic() + START_SECONDS
            while marker not in shown:
                shown += read_for(terminal, 0.2)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{program} shows no GPU: {shown[-300:]!r}")
            read_for(terminal, WARM_SECONDS)
            process, agent = psutil.Process(pid), agent_of(home)
            before, agent_before = cpu_of(process), cpu_of(agent) if agent else 0.0
            written = read_for(terminal, seconds)
            used = cpu_of(process) - before
            agent_used = cpu_of(agent) - agent_before if agent else None
            resident = process.memory_info().rss
        return Usage(
            program=program,
            gpus=gpus,
            size=f"{size[0]}x{size[1]}",
            cpu_seconds_per_minute=used * 60 / seconds,
            bytes_per_second=len(written) / seconds,
            resident_mib=resident / 2**20,
            agent_cpu_seconds_per_minute=None if agent_used is None else agent_used * 60 / seconds,
        )
    finally:
        busy.stop()
        if (agent := agent_of(home)) is not None:
            agent.kill()
            with contextlib.suppress(psutil.Error):
                agent.wait(10)


def agent_of(home: Path) -> psutil.Process | None:
    """The agent that the screens started, by the lock that it holds."""
    for lock in home.rglob("agent-*.lock"):
        text = lock.read_text().strip()
        if text.isdigit() and psutil.pid_exists(int(text)):
            return psutil.Process(int(text))
    return None


def compare(seconds: float, counts: tuple[int, ...] = (8, 64)) -> list[Usage]:
    with tempfile.TemporaryDirectory() as folder:
        library = simnvml.build(Path(folder))
        return [
            measure(program, count, size, seconds, Path(folder), library)
            for count in counts
            for size in SIZES
            for program in ("wan-tui", "nvitop")
        ]


if __name__ == "__main__":
    for usage in compare(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0):
        sys.stdout.write(json.dumps({k: round(v, 1) if isinstance(v, float) else v for k, v in asdict(usage).items()}))
        sys.stdout.write("\n")
