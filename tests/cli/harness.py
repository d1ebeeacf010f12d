"""The command line as a user runs it."""

import subprocess
import sys
from pathlib import Path


def wan_tui(*arguments: str, timeout: float = 120, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run ``wan-tui`` in a process of its own, without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "wan_tui", *arguments], capture_output=True, timeout=timeout, input=stdin
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def config(home: Path, text: str) -> str:
    file = home / "test.toml"
    file.write_text(text)
    return str(file)
