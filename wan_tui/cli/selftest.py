"""``wan-tui selftest``: the whole product once, on the pocket model, with everything it claims checked."""

import asyncio
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families

from wan_exporter.web import create_app, serve
from wan_tui.cli.text import columns
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.config.settings import PathSettings
from wan_tui.core.engine import Engine
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.pocket_judge import Seen, judge
from wan_tui.core.runtime.state import DeploymentStatus, Job
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.units import format_basis, format_bytes, format_seconds
from wan_tui.core.words import LoadState

TIMEOUT_SECONDS = 300.0
DEPLOYMENT = "pocket"
PROMPT = "a red circle moving right"
WANTED = Seen(shape="circle", colour="red", motion="right", background="dark")


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    passed: bool
    found: str


def run_selftest(*, as_json: bool) -> int:
    """Print a table (or JSON) of what was checked; status 1 when anything failed."""
    with tempfile.TemporaryDirectory(prefix="wan-tui-selftest-") as scratch:
        outputs = Path(scratch)
        # The user's own cache and history, so that the next estimate learns; nobody's outputs or configuration.
        settings = Settings(
            paths=PathSettings(outputs=outputs),
            deployments={DEPLOYMENT: DeploymentSettings(model="t2v-pocket", profile="cpu")},
        )
        checks = asyncio.run(_check_everything(settings, outputs))
    passed = all(check.passed for check in checks)
    if as_json:
        print(json.dumps({"passed": passed, "checks": [dataclasses.asdict(check) for check in checks]}, indent=2))
    else:
        rows = [[check.name, "ok" if check.passed else "FAILED", check.found] for check in checks]
        print(columns(["CHECK", "RESULT", "FOUND"], rows))
        print("selftest passed" if passed else "selftest FAILED")
    return 0 if passed else 1


async def _check_everything(settings: Settings, outputs: Path) -> list[Check]:
    checks: list[Check] = []

    def check(name: str, passed: bool, found: str) -> bool:
        checks.append(Check(name, passed, found))
        return passed

    async with Engine(settings) as engine:
        server = await serve(create_app(lambda: engine.latest), "127.0.0.1", 0)
        try:
            await _check_engine(engine, outputs, server.url, check)
        except TimeoutError:
            check("time", False, f"not done after {TIMEOUT_SECONDS:.0f} s")
        finally:
            await server.close()
    return checks


async def _check_engine(engine: Engine, outputs: Path, url: str, check: Callable[[str, bool, str], bool]) -> None:
    snapshot = await _until(engine, lambda snapshot: True)
    host, driver = snapshot.host, snapshot.driver
    up = sum(gpu.up for gpu in snapshot.gpus)
    devices = f"{up} of {len(snapshot.gpus)} GPUs answer" if driver.up else driver.message
    memory = format_bytes(host.memory_total_bytes)
    check("hardware", driver.up or not driver.present, f"{devices}; {host.cpu_name} x{host.cpu_count}, {memory}")

    _narrate("loading the pocket model in a worker process (this imports torch)")
    await engine.load(DEPLOYMENT)
    snapshot = await _until(engine, lambda s: _pocket(s).state in (LoadState.LOADED, LoadState.FAILED))
    pocket = _pocket(snapshot)
    loaded = pocket.state is LoadState.LOADED and pocket.worker is not None
    if not check("load", loaded, pocket.failure or f"{format_seconds(pocket.last_load_seconds)}, {_libraries(pocket)}"):
        return
    pid = pocket.worker.pid if pocket.worker else 0

    _narrate("generating a video")
    path = outputs / "selftest.mp4"
    request = GenerationRequest(
        deployment=DEPLOYMENT,
        prompt=PROMPT,
        width=64,
        height=64,
        frames=9,
        steps=12,
        guidance=4.0,
        seed=1,
        output=str(path),
    )
    job_id = await engine.generate(request)
    snapshot = await _until(engine, lambda s: (found := s.job(job_id)) is not None and found.state.ended)
    job = snapshot.job(job_id)
    assert job is not None
    if not check("generate", job.failure is None, job.failure.message if job.failure else _seconds_of_stages(job)):
        return
    estimated = job.estimate.total_seconds.expected if job.estimate else None
    told = job.estimate
    basis = f" ({format_basis(told.basis, told.runs, told.report)})" if told else ""
    times = f"estimated {format_seconds(estimated)}{basis}, observed {format_seconds(job.observed_seconds)}"
    check("estimate", estimated is not None and bool(job.observed_seconds), times)

    _check_video(path, request, check)
    await _check_metrics(url, job, check)

    await engine.unload(DEPLOYMENT)
    await _until(engine, lambda s: _pocket(s).state is LoadState.UNLOADED)
    gone = not psutil.pid_exists(pid)
    check("unload", gone, f"worker {pid} is gone" if gone else f"worker {pid} still runs")


def _check_video(path: Path, request: GenerationRequest, check: Callable[[str, bool, str], bool]) -> None:
    from wan_tui.core.video import read_mp4, read_pictures

    video = read_mp4(path)
    expected = (request.frames, request.width, request.height)
    size = format_bytes(path.stat().st_size)
    facts = f"{video.frames} frames of {video.width}x{video.height} at {video.fps:g} fps, {size}"
    check("video", (video.frames, video.width, video.height) == expected, facts)
    kept = video.metadata.get("prompt") == request.prompt and video.metadata.get("seed") == request.seed
    seen = judge(read_pictures(path))
    told = ", ".join(f"{part} {found or 'not to be told'}" for part, found in dataclasses.asdict(seen).items())
    check("picture", seen == WANTED, f"asked for {request.prompt!r}, seen: {told}")
    check("metadata", kept, f"prompt {video.metadata.get('prompt')!r}, seed {video.metadata.get('seed')}")


async def _check_metrics(url: str, job: Job, check: Callable[[str, bool, str], bool]) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{url}metrics") as response:
        text = await response.text()
    samples = _samples(text)
    finished = samples.get("wantui_jobs_finished_total", -1.0)
    observed = samples.get("wantui_generation_last_duration_seconds", -1.0)
    agrees = finished == 1 and observed == job.observed_seconds
    count = sum(1 for line in text.splitlines() if line and not line.startswith("#"))
    check("metrics", agrees, f"{count} series over HTTP; jobs finished {finished:g}, last {format_seconds(observed)}")


def _samples(text: str) -> Mapping[str, float]:
    """Values of the series of the pocket deployment (one per name is enough here)."""
    families = text_string_to_metric_families(text)
    return {s.name: s.value for family in families for s in family.samples if s.labels.get("deployment") == DEPLOYMENT}


async def _until(engine: Engine, condition: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot for which ``condition`` holds. Raises TimeoutError."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async for snapshot in engine.snapshots():
            if condition(snapshot):
                return snapshot
    raise TimeoutError


def _pocket(snapshot: Snapshot) -> DeploymentStatus:
    status = snapshot.deployment(DEPLOYMENT)
    assert status is not None
    return status


def _libraries(pocket: DeploymentStatus) -> str:
    worker = pocket.worker
    return f"torch {worker.torch_version}, diffusers {worker.diffusers_version}" if worker else ""


def _seconds_of_stages(job: Job) -> str:
    return ", ".join(f"{stage.stage} {format_seconds(stage.seconds)}" for stage in job.stages)


def _narrate(text: str) -> None:
    sys.stderr.write(f"{text}\n")
