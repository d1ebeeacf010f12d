"""The control socket of another host, forwarded by ssh for as long as this process lives."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wan_tui.agent.places import answers
from wan_tui.core.errors import UsageError, WanTuiError

if TYPE_CHECKING:
    from types import TracebackType

ASK_SECONDS = 60.0
OPEN_SECONDS = 30.0
PR_SET_PDEATHSIG = 1
_KEEP_ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")


class Tunnel:
    """``with Tunnel("user@gpu01") as tunnel``: the agent there answers at ``tunnel.socket``. Raises WanTuiError.

    ssh may ask for a password: open it before a screen takes the terminal.
    """

    def __init__(self, host: str, remote: Path | None = None) -> None:
        if not host or host.startswith("-") or any(character.isspace() for character in host):
            raise UsageError(f"host {host!r}: must be a host or user@host, as ssh takes it")
        self._host = host
        self._remote = str(remote) if remote else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Tunnel:
        self._folder = tempfile.TemporaryDirectory(prefix="wan-tui-")
        self.socket = Path(self._folder.name) / "agent.sock"
        try:
            self.open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()
        self._folder.cleanup()

    def open(self, *, quiet: bool = False) -> None:
        """Forward the socket unless that is being done. ``quiet`` asks for no password."""
        if self._process is not None and self._process.poll() is None:
            return
        self._end()
        options = ("-o", "BatchMode=yes") if quiet else ()
        remote = self._remote or self._ask(options)
        self.socket.unlink(missing_ok=True)
        command = ["ssh", "-N", *options, *_KEEP_ALIVE, "-o", "ExitOnForwardFailure=yes"]
        command += ["-L", f"{self.socket}:{remote}", self._host]
        self._process = self._run(command)
        deadline = time.monotonic() + OPEN_SECONDS
        while not self.socket.exists():
            if self._process.poll() is not None:
                raise WanTuiError(f"ssh {self._host} does not forward {remote}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise WanTuiError(f"ssh {self._host} forwards nothing after {OPEN_SECONDS:.0f} s")
            time.sleep(0.05)
        if not answers(self.socket):
            raise WanTuiError(f"ssh {self._host} forwards a socket that does not answer")

    def _ask(self, options: tuple[str, ...]) -> str:
        """Where the agent of that host is."""
        command = ["ssh", *options, self._host, "wan-tui", "agent", "socket"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=ASK_SECONDS)
        except FileNotFoundError:
            raise WanTuiError("ssh is not installed here: --host needs it") from None
        except subprocess.TimeoutExpired:
            raise WanTuiError(f"ssh {self._host} gave no answer in {ASK_SECONDS:.0f} s") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
            raise WanTuiError(f"ssh {self._host} wan-tui agent socket failed: {said[-1]}")
        lines = done.stdout.decode(errors="replace").strip().splitlines()
        if not lines or not lines[-1].startswith("/"):
            raise WanTuiError(f"ssh {self._host} wan-tui agent socket gave no path")
        return lines[-1]

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=_die_with_parent,
        )

    def _last_words(self) -> str:
        assert self._process is not None
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        return said[-1] if said else f"status {self._process.returncode}"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _die_with_parent() -> None:
    if sys.platform == "linux" and os.getppid() != 1:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
