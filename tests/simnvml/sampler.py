"""The NVML probe in a process of its own: ``python -m tests.simnvml.sampler DEADLINE``, and the handle that tests hold.

The process takes one sample per line of its standard input and prints it as one line of JSON.
"""

import asyncio
import dataclasses
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pydantic import TypeAdapter

from wan_tui.core.hardware.samples import GpuSample, HardwareSample

ROOT = Path(__file__).parents[2]
TICK_SECONDS = 0.01


@dataclass(frozen=True)
class Observation:
    """A sample, with what taking it did to the process."""

    sample: HardwareSample
    seconds: float
    threads: int
    loop_ticks: int  # how often another task of the event loop ran meanwhile (every 10 ms, if nobody blocks the loop)

    @property
    def gpus(self) -> tuple[GpuSample, ...]:
        return self.sample.gpus


class Sampler:
    """The process, as a context manager that also tells whether it ended by itself."""

    def __init__(self, environment: dict[str, str], deadline_seconds: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simnvml.sampler", str(deadline_seconds)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def observe(self) -> Observation:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("sample", file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the sampler died; its traceback is above"
        return _OBSERVATION.validate_json(line)

    def sample(self) -> HardwareSample:
        return self.observe().sample

    def finish(self, timeout_seconds: float = 20) -> int:
        """Close the probe and let the process end; its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(timeout_seconds)

    def __enter__(self) -> "Sampler":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.__exit__(kind, error, at)


_OBSERVATION = TypeAdapter(Observation)


async def _ticks(count: list[int]) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        count[0] += 1


async def _observe(probe: "NvmlProbe") -> Observation:
    count = [0]
    ticking = asyncio.create_task(_ticks(count))
    started = asyncio.get_running_loop().time()
    sample = await probe.sample()
    seconds = asyncio.get_running_loop().time() - started
    ticking.cancel()
    return Observation(sample, seconds, threading.active_count(), count[0])


if __name__ == "__main__":
    from wan_tui.core.hardware.nvml import NvmlProbe

    probe = NvmlProbe(deadline_seconds=float(sys.argv[1]))
    with asyncio.Runner() as runner:
        for _request in sys.stdin:
            observation = runner.run(_observe(probe))
            sys.stdout.write(json.dumps(dataclasses.asdict(observation)) + "\n")
            sys.stdout.flush()
    probe.close()
