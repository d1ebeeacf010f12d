"""The scripts: what happens on the simulated host, and which alerts should follow from it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_exporter.demo.stage import Stage, traffic
from wan_exporter.demo.world import GIB
from wan_tui.core.errors import unknown_name

CONFIGURATION = """\
# The host of wan-exporter --demo. It may be edited: SIGHUP has it read again.
[polling]
interval_seconds = {interval:g}
expected_gpus = 4

[paths]
cache = "{folder}/cache"
models = "{folder}/models"
outputs = "{folder}/outputs"
history = "{folder}/history.sqlite3"

[deployments.story]
model = "t2v-A14B"
device = "gpu:0"
wanted_loaded = true
defaults = {{ width = 1280, height = 720 }}

[deployments.cinema]
model = "t2v-A14B"
profile = "{cinema}"
device = "gpu:1"
wanted_loaded = true
defaults = {{ width = 1280, height = 720 }}

[deployments.draft]
model = "ti2v-5B"
device = "gpu:2"
wanted_loaded = true

[deployments.sketch]
model = "ti2v-5B"
device = "gpu:3"
keep_alive_seconds = 900
"""


Script = Callable[[Stage], Coroutine[Any, Any, None]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """``history_days`` is how much history it takes to show; ``fires`` are the alerts that it leads to."""

    name: str
    title: str
    history_days: float
    script: Script
    fires: frozenset[str] = frozenset()


def configuration(interval_seconds: float, folder: Path, cinema: str = "auto") -> str:
    """The configuration file of the simulated host, whose files are in ``folder``."""
    return CONFIGURATION.format(interval=interval_seconds, folder=folder, cinema=cinema)


async def play(scenario: Scenario, stage: Stage) -> None:
    """Run traffic and script until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic(stage, "story", "t2v-A14B", jobs_an_hour=3.5, seed=1))
        tasks.create_task(traffic(stage, "cinema", "t2v-A14B", jobs_an_hour=2.5, seed=2))
        tasks.create_task(traffic(stage, "draft", "ti2v-5B", jobs_an_hour=10.0, seed=3))
        tasks.create_task(traffic(stage, "sketch", "ti2v-5B", jobs_an_hour=1.0, seed=4))
        tasks.create_task(scenario.script(stage))


async def _healthy(stage: Stage) -> None:
    """Nothing happens but work, and now and then a corrected bit."""
    while True:
        await asyncio.sleep(8 * 3600)
        stage.card(1).ecc_corrected += 1


async def _gpu_lost(stage: Stage) -> None:
    await stage.incident()
    card = stage.card(1)
    card.up = False
    stage.launcher.crash(card, "CUDA error: unspecified launch failure")
    await stage.recovery()
    card.up = True
    await stage.load("cinema")


async def _xid(stage: Stage) -> None:
    await stage.incident()
    card = stage.card(0)
    card.raise_xid(48)
    card.ecc_uncorrected += 2
    card.remap_pending = True
    card.recovery_action = "gpu_reset"
    for _ in range(4):
        stage.launcher.crash(card, "CUDA error: uncorrectable ECC error encountered")
        await asyncio.sleep(300)
    await stage.recovery()
    card.remap_pending = False
    card.recovery_action = "none"


async def _driver_hang(stage: Stage) -> None:
    await stage.incident()
    stage.world.answers.clear()
    await stage.recovery()
    stage.world.answers.set()


async def _oom_loop(stage: Stage) -> None:
    await stage.incident()
    card, length = stage.card(2), stage.end_seconds - stage.begin_seconds
    card.out_of_memory = True
    await stage.until(stage.begin_seconds + length * 0.7)
    card.loads_fail = True
    stage.launcher.crash(card, "CUDA error: out of memory")
    await stage.recovery()
    card.out_of_memory = card.loads_fail = False
    await stage.load("draft")


async def _incompatible(stage: Stage) -> None:
    """First a slip of the pen, which is refused; then a valid configuration that this host cannot run."""
    text = stage.config.read_text(encoding="utf-8")
    await stage.incident()
    await stage.configure(text.replace('profile = "auto"', 'profile = "resident-bf61"'))
    await stage.until(stage.begin_seconds + (stage.end_seconds - stage.begin_seconds) * 0.4)
    resident = text.replace('profile = "auto"', 'profile = "resident-bf16"')
    await stage.configure("[limits]\nmax_vram_gib = 48\n\n" + resident)
    await stage.recovery()
    await stage.configure(text)


async def _drift(stage: Stage) -> None:
    """The room grows hot: every card slower and slower, then by far; and jobs take more and more memory."""
    await stage.incident()
    length = stage.end_seconds - stage.begin_seconds
    for part in range(1, 41):
        await stage.until(stage.begin_seconds + length * part / 40)
        for card in stage.world.cards:
            card.slowness = 1.0 + 0.5 * part / 40 + (2.5 if part > 20 else 0.0)
            card.bloat = 1.0 + 0.16 * part / 40
            card.cooling = 1.0 - 0.25 * part / 40
    await stage.recovery()
    for card in stage.world.cards:
        card.slowness = card.bloat = card.cooling = 1.0


async def _neglected(stage: Stage) -> None:
    """All that a host suffers from nobody looking after it."""
    await stage.incident()
    stage.card(0).throttled_by, stage.card(0).slowness, stage.card(0).cooling = "hw_thermal_slowdown", 2.1, 0.42
    stage.card(1).foreign_bytes = 5 * GIB
    stage.card(1).remap_failure = True
    stage.card(2).leaks = True
    stage.world.outputs_free_bytes = 11 * GIB
    text = stage.config.read_text(encoding="utf-8")
    await stage.configure(text.replace("expected_gpus = 4", "expected_gpus = 5"))
    await asyncio.sleep(120)
    await stage.engine.unload("draft")
    await asyncio.sleep(120)
    stage.world.disk_slowness = 200.0
    await stage.load("draft")
    await stage.until(stage.begin_seconds + (stage.end_seconds - stage.begin_seconds) * 0.8)
    stage.silent = True
    await stage.recovery()
    stage.silent = False
    stage.card(0).throttled_by, stage.card(0).slowness, stage.card(0).cooling = None, 1.0, 1.0
    stage.card(1).foreign_bytes = 0
    stage.card(2).leaks = False
    stage.card(2).workers.clear()
    await stage.configure(text)
    stage.world.outputs_free_bytes = 1_400 * GIB
    stage.world.disk_slowness = 1.0
    await stage.load("draft")


def _named(name: str, title: str, script: Script, fires: str = "", *, history_days: float = 0.5) -> Scenario:
    alerts = frozenset(f"WanTui{alert}" for alert in fires.split())
    return Scenario(name=name, title=title, history_days=history_days, script=script, fires=alerts)


_ALL = (
    _named(
        "healthy",
        "a week of work, nothing wrong",
        _healthy,
        history_days=7,
    ),
    _named(
        "gpu-lost",
        "a GPU falls off the bus",
        _gpu_lost,
        "GpuLost DeploymentVerdictUnknown DeploymentNotLoaded",
    ),
    _named(
        "xid",
        "a GPU reports Xid 48: memory errors that ECC cannot correct",
        _xid,
        "GpuXidCritical GpuRecoveryActionNeeded GpuUncorrectableEcc WorkerRestarting",
    ),
    _named(
        "driver-hang",
        "driver calls hang",
        _driver_hang,
        "NvmlUnavailable PollerStale NvmlCallStuck GpuLost DeploymentVerdictUnknown GenerationStalled QueueDelayed",
    ),
    _named(
        "oom-loop",
        "jobs run out of GPU memory again and again",
        _oom_loop,
        "OutOfMemory JobFailureRatioHigh DeploymentLoadFailing WorkerRestarting DeploymentNotLoaded",
    ),
    _named(
        "incompatible",
        "a changed configuration is refused, the next one cannot run here",
        _incompatible,
        "ConfigReloadFailed DeploymentIncompatible ValidationFailing DeploymentNotLoaded",
    ),
    _named(
        "drift",
        "estimates of time and memory drift away from what is seen",
        _drift,
        "DeploymentTight VramEstimateOptimistic GenerationSlowerThanEstimate",
        history_days=1.5,
    ),
    _named(
        "neglected",
        "heat, a full disk, a stranger on a GPU, leaked memory, no answer",
        _neglected,
        "Down StorageLow GpuMissing GpuRowRemapFailure GpuThrottled GpuForeignMemory DeploymentNotLoaded "
        "DeploymentTransitionStuck VramNotReleased QueueDelayed",
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}


def scenario(name: str) -> Scenario:
    """Raises UsageError for an unknown name."""
    if name not in SCENARIOS:
        raise unknown_name("scenario", name, SCENARIOS)
    return SCENARIOS[name]
