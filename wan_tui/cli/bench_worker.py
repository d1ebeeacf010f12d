"""The process that measures one plan: started with its job, heard until it ends, ended when nobody listens."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

from wan_tui.core.runtime.benching import BenchEvent, BenchJob, decode_bench_event, encode_line
from wan_tui.core.runtime.launcher import STDERR_LINES_KEPT, WorkerExit
from wan_tui.core.runtime.protocol import ProtocolError

EXIT_SECONDS = 10.0


class BenchWorker:
    """A running ``python -m wan_tui.worker.bench`` that has its job."""

    def __init__(self, process: "subprocess.Popen[bytes]", stderr: IO[bytes]) -> None:
        self._process = process
        self._stderr = stderr

    def events(self) -> Iterator[BenchEvent]:
        """What it says until it ends. A last line that was cut off by its death is left out."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                yield decode_bench_event(line)
            except ProtocolError:
                if line.endswith(b"\n"):
                    raise

    def wait(self) -> WorkerExit:
        """How it ended; kills it when it closed its output and lives on."""
        try:
            status = self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").splitlines()
        kept = [line.strip() for line in lines if line.strip()][-STDERR_LINES_KEPT:]
        return WorkerExit(status, tuple(kept))


@contextlib.contextmanager
def bench_worker(job: BenchJob) -> Iterator[BenchWorker]:
    """A process for ``job`` that sees only the device of its plan; it is gone when the block is left."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": job.plan.gpu_uuid or "", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "wan_tui.worker.bench"]
    pipe = subprocess.PIPE
    # Its standard error goes to a file: nobody reads it while the process runs. Ctrl-C is for the command alone.
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True, env=environment
        ) as process,
    ):
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(encode_line(job))
            yield BenchWorker(process, stderr)
        finally:
            if process.poll() is None:
                process.kill()
