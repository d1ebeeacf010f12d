"""Generation through a real agent against a plain diffusers script, in turns; and what an idle agent costs.

Both run the pocket model warm, in processes of their own, with one thread, on the same clip with the same seed, and
write the same kind of file. Ours is timed at the client, from asking to seeing that the file is whole, so snapshots,
socket, queue, previews, events and the sidecar are all in it. Processor seconds are those of agent and worker together;
they tell how much is done beside generating even on a machine that does other things as well.

The idle agent polls eight GPUs of the simulated driver once a second; its peer is an aiohttp server that serves as
many gauges and reads the usual seven figures of each GPU with pynvml at the same pace.

``python -m tests.benchmarks.agent [PAIRS]`` prints medians and ratios.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests import simnvml
from tests.simnvml import Scenario, SimGpu
from wan_tui.agent.socket_client import SocketClient
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.words import JobState, LoadState

ROOT = Path(__file__).parents[2]
CLIP = {"width": 256, "height": 256, "frames": 49, "steps": 8, "guidance": 4.0}
IDLE_SECONDS = 20.0
GPUS = 8

PLAIN = """
import json, sys, time
import av, torch
from diffusers import WanPipeline
torch.set_num_threads(1)
pipeline = WanPipeline.from_pretrained(sys.argv[1], torch_dtype=torch.float32, local_files_only=True)
pipeline.set_progress_bar_config(disable=True)
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    started, cpu = time.perf_counter(), time.process_time()
    video = pipeline(prompt=order["prompt"], negative_prompt="", width=order["width"], height=order["height"],
                     num_frames=order["frames"], num_inference_steps=order["steps"],
                     guidance_scale=order["guidance"], generator=torch.Generator("cpu").manual_seed(order["seed"]),
                     output_type="np").frames[0]
    with av.open(order["output"], "w") as container:
        stream = container.add_stream("h264", rate=16, options={"crf": "17", "preset": "medium"})
        stream.height, stream.width, stream.pix_fmt = order["height"], order["width"], "yuv420p"
        for image in (video * 255).round().astype("uint8"):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    print(json.dumps([time.perf_counter() - started, time.process_time() - cpu]), flush=True)
"""

PEER = """
import asyncio, pynvml
from aiohttp import web
values = {}
def read():
    for index in range(pynvml.nvmlDeviceGetCount()):
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
        rates = pynvml.nvmlDeviceGetUtilizationRates(gpu)
        values[index] = (memory.total, memory.used, memory.free, rates.gpu, rates.memory,
                         pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
                         pynvml.nvmlDeviceGetPowerUsage(gpu), len(pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)))
async def metrics(request):
    lines = [f"gpu_{field}{{gpu=\\"{index}\\"}} {value}" for index, all in values.items()
             for field, value in enumerate(all)]
    return web.Response(text="\\n".join(lines))
async def main():
    pynvml.nvmlInit()
    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("ready", flush=True)
    while True:
        await asyncio.to_thread(read)
        await asyncio.sleep(1)
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One generation: seconds on the wall and of the processor; of the latter those of the agent itself."""

    seconds: float
    cpu_seconds: float
    agent_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Pair:
    ours: Run
    theirs: Run

    @property
    def time_ratio(self) -> float:
        return self.ours.seconds / self.theirs.seconds

    @property
    def cpu_ratio(self) -> float:
        return self.ours.cpu_seconds / self.theirs.cpu_seconds


@dataclass(frozen=True, slots=True)
class Idle:
    """Processor seconds per minute and resident bytes of a process that waits."""

    cpu_seconds: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    pairs: tuple[Pair, ...]
    agent: Idle
    peer: Idle

    @property
    def time_ratio(self) -> float:
        return statistics.median(pair.time_ratio for pair in self.pairs)

    @property
    def cpu_ratio(self) -> float:
        return statistics.median(pair.cpu_ratio for pair in self.pairs)


def compare(pairs: int, *, idle_seconds: float = IDLE_SECONDS, clip: dict[str, float] | None = None) -> Report:
    """``pairs`` generations of each, the order alternating, after one of each that counts for nothing."""
    with tempfile.TemporaryDirectory() as place:
        return asyncio.run(_compare(Path(place), pairs, idle_seconds, {**CLIP, **(clip or {})}))


async def _compare(place: Path, pairs: int, idle_seconds: float, clip: dict[str, float]) -> Report:
    environment = _environment(place)
    agent = _start(
        [sys.executable, "-m", "wan_exporter", "--config", str(_config(place))], environment, place / "agent"
    )
    peer = _start([sys.executable, "-c", PEER], environment, place / "peer")
    plain: subprocess.Popen[str] | None = None
    try:
        socket = place / "agent.sock"
        async with SocketClient(await asyncio.to_thread(_there, socket, agent)) as client:
            await asyncio.sleep(5)  # what starting up leaves to do
            idle = await asyncio.gather(*(_idle(psutil.Process(one.pid), idle_seconds) for one in (agent, peer)))
            peer.terminate()
            await client.load("pocket")
            async for snapshot in client.snapshots():
                loaded = snapshot.deployment("pocket")
                if loaded is not None and loaded.state is LoadState.LOADED and loaded.worker is not None:
                    worker = psutil.Process(loaded.worker.pid)
                    break
            model = next((place / "cache" / "pocket").iterdir())
            plain = _start([sys.executable, "-c", PLAIN, str(model)], environment, place / "plain")
            assert plain.stdout is not None
            await asyncio.to_thread(plain.stdout.readline)
            measured = []
            for number in range(pairs + 1):
                order = {**clip, "prompt": f"a red circle {number}", "seed": number}
                runs: dict[str, Run] = {}
                for who in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
                    if who == "ours":
                        runs[who] = await _ours(client, order, place, (psutil.Process(agent.pid), worker))
                    else:
                        runs[who] = await asyncio.to_thread(_theirs, plain, order, place)
                measured.append(Pair(**runs))
        return Report(tuple(measured[1:]), *idle)
    finally:
        for process in (agent, peer, plain):
            if process is not None:
                process.terminate()
                process.wait()


async def _ours(
    client: SocketClient, order: dict[str, object], place: Path, processes: Sequence[psutil.Process]
) -> Run:
    request = GenerationRequest(deployment="pocket", output=str(place / f"ours-{order['seed']}.mp4"), **order)  # type: ignore[arg-type]
    before, started = [_cpu(process) for process in processes], time.perf_counter()
    job_id = await client.generate(request)
    async for snapshot in client.snapshots():
        job = snapshot.job(job_id)
        if job is not None and job.state.ended:
            assert job.state is JobState.FINISHED, job.failure
            break
    took = time.perf_counter() - started
    used = [_cpu(process) - earlier for process, earlier in zip(processes, before, strict=True)]
    return Run(took, sum(used), used[0])


def _theirs(plain: "subprocess.Popen[str]", order: dict[str, object], place: Path) -> Run:
    assert plain.stdin is not None
    assert plain.stdout is not None
    print(json.dumps({**order, "output": str(place / f"theirs-{order['seed']}.mp4")}), file=plain.stdin, flush=True)
    return Run(*json.loads(plain.stdout.readline()))


async def _idle(process: psutil.Process, seconds: float) -> Idle:
    before, started = _cpu(process), time.perf_counter()
    await asyncio.sleep(seconds)
    used = (_cpu(process) - before) / (time.perf_counter() - started) * 60
    return Idle(used, process.memory_info().rss)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _there(socket: Path, agent: "subprocess.Popen[str]") -> Path:
    while not socket.exists():
        assert agent.poll() is None, "the agent ended"
        time.sleep(0.1)
    return socket


def _environment(place: Path) -> dict[str, str]:
    scenario = place / "scenario"
    Scenario(gpus=[SimGpu() for _ in range(GPUS)]).write(scenario)
    own = {"HOME": str(place), "OMP_NUM_THREADS": "1", "WANTUI_AGENT_SOCKET": str(place / "agent.sock")}
    own |= {f"XDG_{name}_HOME": str(place / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
    return {**os.environ, **simnvml.environment(simnvml.build(place / "driver"), scenario), **own}


def _config(place: Path) -> Path:
    file = place / "wan-tui.toml"
    file.write_text(
        f'[exporter]\nport = 0\n[paths]\ncache = "{place / "cache"}"\noutputs = "{place / "outputs"}"\n'
        '[deployments.pocket]\nmodel = "t2v-pocket"\nprofile = "cpu"\n'
        '[deployments.story]\nmodel = "t2v-A14B"\n[deployments.clip]\nmodel = "ti2v-5B"\n'
    )
    return file


def _start(command: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[str]":
    with log.open("w") as errors:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def _as_text(found: Report) -> str:
    lines = [f"{'pair':<6}{'agent s':>10}{'plain s':>10}{'ratio':>8}{'agent CPU s':>14}{'plain CPU s':>14}{'ratio':>8}"]
    for number, pair in enumerate(found.pairs, 1):
        ours, theirs = pair.ours, pair.theirs
        walls = f"{ours.seconds:>10.2f}{theirs.seconds:>10.2f}{pair.time_ratio:>8.3f}"
        lines.append(f"{number:<6}{walls}{ours.cpu_seconds:>14.2f}{theirs.cpu_seconds:>14.2f}{pair.cpu_ratio:>8.3f}")
    own = statistics.median(pair.ours.agent_seconds for pair in found.pairs)
    lines.append(f"median ratio: time {found.time_ratio:.3f}, processor {found.cpu_ratio:.3f}")
    lines.append(f"of the processor seconds the agent itself took {own:.2f}, the rest is the worker's")
    lines.append(f"{f'idle, {GPUS} GPUs':<16}{'CPU s/min':>12}{'RSS MiB':>10}")
    for name, idle in (("agent", found.agent), ("aiohttp, pynvml", found.peer)):
        lines.append(f"{name:<16}{idle.cpu_seconds:>12.2f}{idle.resident_bytes / 2**20:>10.0f}")
    cpu, memory = (
        found.agent.cpu_seconds / found.peer.cpu_seconds,
        found.agent.resident_bytes / found.peer.resident_bytes,
    )
    lines.append(f"{'ratio':<16}{cpu:>12.1f}{memory:>10.1f}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(_as_text(compare(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
