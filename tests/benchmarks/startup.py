"""Time from starting the process to the first frame: wan-tui against a bare Textual app, in turns, on a real pty.

``python -m tests.benchmarks.startup [RUNS]`` prints the medians and their ratio.
"""

import os
import pty
import select
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

BARE_APP = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("bare-first-frame")
Bare().run()
"""
PATIENCE_SECONDS = 30.0


def first_frame_seconds(arguments: Sequence[str], marker: bytes) -> float:
    """Seconds until ``marker`` is written to the terminal of 80 x 24."""
    with tempfile.TemporaryDirectory() as home:
        started = time.perf_counter()
        pid, terminal = pty.fork()
        if pid == 0:
            kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
            # What starts after the first frame is no part of this, and an agent would outlive it: here none can listen.
            kept |= {"WANTUI_AGENT_SOCKET": "/proc/nowhere/agent.sock", "XDG_STATE_HOME": home}
            kept |= {"HOME": home, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "LC_ALL": "C.UTF-8"}
            os.execve(sys.executable, [sys.executable, *arguments], kept)
        try:
            written = b""
            while marker not in written:
                ready, _, _ = select.select([terminal], [], [], PATIENCE_SECONDS)
                if not ready:
                    raise TimeoutError(f"no {marker!r} in {written[-500:]!r}")
                written += os.read(terminal, 65536)
            return time.perf_counter() - started
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(terminal)


def compare(runs: int) -> tuple[float, float, float]:
    """Medians of wan-tui and of the bare app in seconds, and the median of the ratios of neighbouring runs."""
    ours, bare = [], []
    for _ in range(runs + 1):
        ours.append(first_frame_seconds(["-m", "wan_tui"], b"Overview"))
        bare.append(first_frame_seconds(["-c", BARE_APP], b"bare-first-frame"))
    ours, bare = ours[1:], bare[1:]  # the first pair fills the file cache
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    return statistics.median(ours), statistics.median(bare), statistics.median(ratios)


if __name__ == "__main__":
    ours, bare, ratio = compare(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
    sys.stdout.write(f"first frame: wan-tui {ours:.3f} s, bare Textual app {bare:.3f} s, ratio {ratio:.2f}\n")
