"""What a scenario plays on: the world, the engine above it, the configuration file, and a clock of its own."""

import asyncio
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

from wan_exporter.demo.worker import DemoLauncher
from wan_exporter.demo.world import Card, World
from wan_tui.agent.configuration import Configuration
from wan_tui.core.config import Settings
from wan_tui.core.engine import Engine
from wan_tui.core.errors import WanTuiError
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.words import JobState, LoadState

# What people ask for, and how often compared with the others: width, height, frames.
SHAPES: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "t2v-A14B": ((832, 480, 81, 8), (832, 480, 49, 3), (1280, 720, 81, 2)),
    "ti2v-5B": ((1280, 704, 121, 6), (1280, 704, 81, 3), (704, 1280, 121, 1)),
}
STEPS = {"t2v-A14B": 40, "ti2v-5B": 50}
PROMPTS = ("a lighthouse in a storm", "a street market in the rain", "a fox running through snow", "waves at night")


@dataclass(kw_only=True)
class Stage:
    """``begin_seconds`` and ``end_seconds`` after the start of the play the incident begins and is over.

    While ``silent`` the exporter does not answer (in a history).
    """

    world: World
    launcher: DemoLauncher
    engine: Engine
    settings: Settings
    config: Path
    begin_seconds: float
    end_seconds: float
    silent: bool = False

    def __post_init__(self) -> None:
        self.started_at = time.time()

    def card(self, index: int) -> Card:
        return self.world.cards[index]

    async def until(self, seconds: float) -> None:
        """Wait until so long after the start."""
        await asyncio.sleep(max(self.started_at + seconds - time.time(), 0.0))

    async def incident(self) -> None:
        await self.until(self.begin_seconds)

    async def recovery(self) -> None:
        await self.until(self.end_seconds)

    async def configure(self, text: str) -> None:
        """Write the configuration and have it read again, as ``systemctl reload`` does."""
        await asyncio.to_thread(self.config.write_text, text, encoding="utf-8")
        await Configuration(self.engine, self.settings, self.config).reload()

    async def load(self, deployment: str) -> None:
        """As an operator does; what is refused is in the log."""
        try:
            await self.engine.load(deployment)
        except WanTuiError as error:
            self.engine.log("warning", deployment, str(error))

    def state(self, deployment: str) -> LoadState | None:
        snapshot = self.engine.latest
        found = snapshot.deployment(deployment) if snapshot else None
        return found.state if found else None


async def traffic(stage: Stage, deployment: str, model: str, *, jobs_an_hour: float, seed: int) -> None:
    """People at work: jobs at irregular times, more by day than by night, a few cancelled or hopeless."""
    chance = random.Random(f"{deployment} {seed}")
    pause = chance.uniform(5, 60)
    while True:
        await asyncio.sleep(pause)
        hour = time.time() % 86_400 / 3600
        busy = 0.35 + 0.65 * max(math.sin((hour - 5) / 24 * 2 * math.pi), 0.0)
        pause = chance.expovariate(jobs_an_hour * busy / 3600)
        shapes = SHAPES[model]
        width, height, frames, _ = chance.choices(shapes, [shape[3] for shape in shapes])[0]
        request = GenerationRequest(
            deployment=deployment,
            prompt=chance.choice(PROMPTS),
            width=width,
            height=height,
            frames=frames,
            steps=STEPS[model],
            guidance=4.0,
            seed=chance.randrange(2**31),
        )
        try:
            job = await stage.engine.generate(request)
        except WanTuiError as error:
            stage.engine.log("warning", deployment, f"refused: {error}")
            continue
        if chance.random() < 0.02:
            asyncio.get_running_loop().call_later(40.0, _cancel, stage.engine, job)


def _cancel(engine: Engine, job: str) -> None:
    found = engine.latest.job(job) if engine.latest else None
    if found is not None and found.state in (JobState.QUEUED, JobState.RUNNING):
        task = asyncio.ensure_future(engine.cancel(job))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
