"""Worker processes: started with a socket to talk over, watched until they are gone."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.runtime.protocol import MAX_LINE_BYTES, Command, Event, ProtocolError, decode_event, encode

STDERR_LINES_KEPT = 40
EXIT_GRACE_SECONDS = 5.0
TERMINATE_GRACE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """How a worker ended: its return code (negative: the signal) and the last lines that it wrote to stderr.

    ``told``: the line is why the engine ended it, which is all there is to say.
    """

    returncode: int
    stderr: tuple[str, ...]
    told: bool = False

    @property
    def description(self) -> str:
        """One sentence for the operator."""
        if self.told:
            return self.stderr[-1]
        if self.returncode < 0:
            how = f"worker was killed by {signal.Signals(-self.returncode).name}"
            if -self.returncode == signal.SIGKILL:
                # It had no time to say anything about it: its last line would only mislead.
                return f"{how} (by an operator, or by the kernel when memory ran out)"
            if -self.returncode == signal.SIGBUS:
                return f"{how}: a checkpoint file was truncated while it was mapped; check it, then load again"
        else:
            how = f"worker ended with status {self.returncode}"
        return f"{how}: {self.stderr[-1]}" if self.stderr else how


class Worker:
    """A running worker process. Everything happens on the event loop that started it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_event: Callable[[Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> None:
        self._process = process
        self._writer = writer
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES_KEPT)
        self._on_line: Callable[[str], None] | None = None
        self._watch = asyncio.create_task(self._run(reader, on_event, on_exit))

    @property
    def pid(self) -> int:
        return self._process.pid

    def listen(self, on_line: Callable[[str], None]) -> None:
        """Tell ``on_line`` what it wrote to stderr so far, and then every new line."""
        self._on_line = on_line
        for line in self._stderr:
            on_line(line)

    def send(self, command: Command) -> None:
        """Queue a command. A worker that is gone reports through its exit, not here."""
        if not self._writer.is_closing():
            self._writer.write(encode(command))

    async def stop(self, command: Command, grace_seconds: float = EXIT_GRACE_SECONDS) -> None:
        """Ask with ``command``, then SIGTERM, then SIGKILL; returns when the process is gone and reported."""
        self.send(command)
        for number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, TERMINATE_GRACE_SECONDS)):
            if await self._gone(patience):
                return
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
        await asyncio.shield(self._watch)

    async def _gone(self, patience: float) -> bool:
        done, _ = await asyncio.wait({self._watch}, timeout=patience)
        return bool(done)

    async def _run(
        self,
        reader: asyncio.StreamReader,
        on_event: Callable[[Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> None:
        reading = asyncio.create_task(self._read(reader, on_event))
        listening = asyncio.create_task(self._listen())
        returncode = await self._process.wait()
        # What it said last is still in the pipes; a grandchild that holds them open must not keep us here.
        await asyncio.wait({reading, listening}, timeout=1.0)
        reading.cancel()
        listening.cancel()
        self._writer.close()
        on_exit(WorkerExit(returncode, tuple(self._stderr)))

    async def _read(self, reader: asyncio.StreamReader, on_event: Callable[[Event], None]) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    on_event(decode_event(line))
                except ProtocolError as error:
                    self._stderr.append(str(error))

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            for line in chunk.decode(errors="replace").splitlines():
                if line.strip():
                    self._stderr.append(line.strip())
                    if self._on_line is not None:
                        self._on_line(line.rstrip())


class LocalLauncher:
    """Starts workers on this host, each seeing only the device of its plan."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(os.environ if environment is None else environment)

    async def start(
        self,
        plan: ExecutionPlan,
        on_event: Callable[[Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> Worker:
        """Spawn a worker for ``plan``. ``on_exit`` is called once, after its last event. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = ("-m", "wan_tui.worker", "--fd", str(theirs.fileno()), "--parent", str(os.getpid()))
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                # Signals of the terminal are for the face in front of it, not for the worker.
                start_new_session=True,
                env=self._environment
                | {"CUDA_VISIBLE_DEVICES": plan.gpu_uuid or "", "TOKENIZERS_PARALLELISM": "false"},
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_LINE_BYTES)
        return Worker(process, reader, writer, on_event, on_exit)
