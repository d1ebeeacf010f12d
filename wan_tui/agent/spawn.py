"""Finds the agent, or starts one that outlives the terminal; ends it again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from wan_tui.agent.places import Places, answers, holder, make_private
from wan_tui.core.errors import WanTuiError

START_SECONDS = 60.0
LOOK_SECONDS = 0.05


async def ensure_agent(where: Places, config: Path | None, *, auto_started: bool = True) -> bool:
    """An agent answers at ``where`` when this returns; True when this call started it. Raises WanTuiError.

    Of several that are started at once one gets the lock; the others end, and everybody attaches to that one.
    """
    if await asyncio.to_thread(answers, where.socket):
        return False
    began = where.log.stat().st_size if where.log.exists() else 0
    process = await asyncio.to_thread(_start, where, config, auto_started)
    deadline = time.monotonic() + START_SECONDS
    while not await asyncio.to_thread(answers, where.socket):
        if process.poll() is not None and holder(where) is None:
            raise WanTuiError(f"the agent did not start: {_last_words(where.log, began)}")
        if time.monotonic() > deadline:
            raise WanTuiError(f"no agent answers at {where.socket} after {START_SECONDS:.0f} s; see {where.log}")
        await asyncio.sleep(LOOK_SECONDS)
    return process.poll() is None


def _start(where: Places, config: Path | None, auto_started: bool) -> subprocess.Popen[bytes]:
    """In a session of its own: neither the terminal's signals nor its end reach it."""
    make_private(where.log.parent)
    # -P: what lies in the working directory is not imported.
    command = [sys.executable, "-P", "-m", "wan_exporter", "--agent", "--socket", str(where.socket)]
    command += ["--log-file", str(where.log)]
    command += ["--auto-started"] if auto_started else []
    command += ["--config", str(config.absolute())] if config else []
    try:
        handle = os.open(where.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WanTuiError(f"cannot write the agent's log {where.log}: {error.strerror}") from None
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle, start_new_session=True)
    except OSError as error:
        raise WanTuiError(f"cannot start the agent: {error.strerror}") from None
    finally:
        os.close(handle)


def _last_words(log: Path, began: int) -> str:
    """The line in which it said why, without its own name."""
    try:
        written = log.read_bytes()[began:].decode(errors="replace")
    except OSError:
        written = ""
    lines = [line for line in written.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("wan-exporter: ")] or lines or [f"see {log}"]
    return said[-1].removeprefix("wan-exporter: ")


def stop_agent(where: Places, *, now: bool, patience_seconds: float, say: Callable[[str], object]) -> bool:
    """End the agent and wait until it is gone; False when there was none. Raises WanTuiError.

    ``now`` does not wait for running jobs: they end as cancelled.
    """
    pid = holder(where)
    if pid is None:
        return False
    deadline, told = time.monotonic() + patience_seconds, False
    _signal(pid)
    again = time.monotonic() + 0.2
    while (there := holder(where)) == pid:
        if now and time.monotonic() > again:
            _signal(pid)
            now = False
        if not told and time.monotonic() > again + 1.0:
            say("waiting for what runs to end")
            told = True
        if time.monotonic() > deadline:
            raise WanTuiError(f"the agent (pid {pid}) did not end in {patience_seconds:.0f} s: kill -9 {pid} does it")
        time.sleep(LOOK_SECONDS)
    del there
    return True


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise WanTuiError(f"the agent (pid {pid}) belongs to another user") from None
