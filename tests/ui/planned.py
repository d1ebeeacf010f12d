"""A client whose answers are the planner's own, for a host with one RTX 4090: for pictures and tests of what-if."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests import snapshots
from tests.core.planning.parts import card_sample, hardware
from tests.snapshot_parts import AT
from tests.ui.fake_client import FakeClient
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.gpus import search_gpu
from wan_tui.core.config import Settings
from wan_tui.core.history import History
from wan_tui.core.planning.questions import Assessment, Question
from wan_tui.core.runtime.asking import Asker
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.judging import Judge
from wan_tui.core.runtime.timeline import MemoryPoint, Timeline
from wan_tui.core.snapshot import ProfileSummary, Snapshot
from wan_tui.core.validation.environment import installed_libraries
from wan_tui.core.words import Phase

GIB = 2**30


class PlannedClient(FakeClient):
    """Answers what-if questions as an engine on that host would."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        estimator = Estimator(History(Path("/proc/nowhere/history.sqlite3")))
        sample = hardware(card_sample(search_gpu("rtx 4090")))
        estimator.look_at(sample, snapshot.host)
        self._asker = Asker(
            catalogue=load_catalogue(),
            deployments={},
            judge=Judge(Settings(), estimator, installed_libraries()),
            estimator=estimator,
            limits=Settings().limits,
            hardware=sample,
            host=snapshot.host,
        )

    async def assess(self, questions: object) -> tuple[Assessment, ...]:
        if self.refusal is not None:
            raise self.refusal
        asked: list[Question] = list(questions)  # type: ignore[call-overload]
        self.questions.extend(asked)
        return await self._asker.answer(asked)


def profiles() -> tuple[ProfileSummary, ...]:
    return tuple(ProfileSummary(name, one.description, one.cpu_only) for name, one in Settings().known_profiles.items())


def planned_client() -> tuple[PlannedClient, Snapshot]:
    before = snapshots.incompatible()
    host = dataclasses.replace(before.host, memory_total_bytes=128 * GIB, memory_available_bytes=112 * GIB)
    gpu = card_sample(search_gpu("rtx 4090"))
    snapshot = dataclasses.replace(before, profiles=profiles(), gpus=(gpu,), host=host)
    return PlannedClient(snapshot), snapshot


def an_hour(at: float = AT) -> Timeline:
    """Two generations within the last hour, on a worker that held 12 GiB between them."""
    points = []
    for second in range(0, 3600, 2):
        into = second % 1500
        busy = 300 <= into < 1200
        used = 12.0 if not busy else 19.5 + (into % 60) / 60 if into < 1100 else 21.2
        estimate = 12.0 if not busy else 20.5
        points.append(
            MemoryPoint(
                at=at - 3600 + second,
                used_bytes=None if second < 200 else int(used * GIB),
                estimated_bytes=None if second < 200 else int(estimate * GIB),
                phase=Phase.DENOISE_HIGH_NOISE if busy else Phase.IDLE,
            )
        )
    return Timeline(tuple(points))
