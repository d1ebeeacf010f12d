"""Real worker processes without the seconds of importing torch: forked from one that has it."""

import asyncio
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.runtime.launcher import Worker, WorkerExit
from wan_tui.core.runtime.protocol import MAX_LINE_BYTES, Command, Event, Load

START_SECONDS = 120.0


class Zygote:
    """The process to fork from; one for the whole run."""

    def __init__(self, cache: Path) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Freed memory goes back to the system at once: an address space limit is then felt where it is set.
            allocator = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
            root = Path(__file__).parents[2]
            paths = (str(root), str(root / "exporter"), os.environ.get("PYTHONPATH", ""))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.zygote", "--fd", str(theirs.fileno()), "--cache", str(cache)],
                pass_fds=[theirs.fileno()],
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **allocator, "PYTHONPATH": os.pathsep.join(paths)},
            )
        self._control = ours
        self._ready = False

    def fork(self, environment: Mapping[str, str], worker: int, stderr: int, status: int) -> None:
        if not self._ready:
            self._control.settimeout(START_SECONDS)
            assert self._control.recv(16) == b"ready", "the zygote ended"
            self._ready = True
        socket.send_fds(self._control, [json.dumps(dict(environment)).encode()], [worker, stderr, status])

    def close(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.wait()


class _Process:
    """As much of a process as ``Worker`` needs."""

    def __init__(self, pid: int, stderr: asyncio.StreamReader, status: asyncio.StreamReader) -> None:
        self.pid, self.stderr, self._status = pid, stderr, status

    async def wait(self) -> int:
        return int(await self._status.readline() or b"-9")

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class ForkingLauncher:
    """A ``Launcher``. ``faults[n]`` is the WANTUI_FAULT of the n-th worker; those after it have none.

    ``as_pocket``: whatever the plan says, the worker loads this pocket model on the processor, so that an engine that
    believes in a GPU can be shown what one does. ``plans`` are those that were asked for.
    """

    def __init__(self, zygote: Zygote, *faults: str, as_pocket: str | None = None) -> None:
        self._zygote = zygote
        self._faults = faults
        self._as_pocket = as_pocket
        self.plans: list[ExecutionPlan] = []
        self.pids: list[int] = []

    async def start(
        self,
        plan: ExecutionPlan,
        on_event: Callable[[Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> Worker:
        number = len(self.plans)
        self.plans.append(plan)
        fault = self._faults[number] if number < len(self._faults) else ""
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "TOKENIZERS_PARALLELISM": "false",
            "WANTUI_FAULT": fault,
        }
        ours, theirs = socket.socketpair()
        (errors, stderr), (status, reports) = os.pipe(), os.pipe()
        try:
            await asyncio.to_thread(self._zygote.fork, environment, theirs.fileno(), stderr, reports)
        finally:
            theirs.close()
            os.close(stderr)
            os.close(reports)
        told = await _reader(status)
        process = _Process(int(await told.readline()), await _reader(errors), told)
        self.pids.append(process.pid)
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_LINE_BYTES)
        kind = _PocketWorker if self._as_pocket else Worker
        worker = kind(process, reader, writer, on_event, on_exit)  # type: ignore[arg-type]
        if isinstance(worker, _PocketWorker):
            worker.model = str(self._as_pocket)
        return worker


class _PocketWorker(Worker):
    model = ""

    def send(self, command: Command) -> None:
        if isinstance(command, Load):
            command = dataclasses.replace(command, model=self.model, plan=cpu_plan(), checkpoint=None)
        super().send(command)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", 0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


def release(pid: int) -> None:
    """Let a worker go on that a fault holds."""
    os.kill(pid, signal.SIGUSR1)
