"""Another configuration under a running engine: only what differs is touched."""

from pathlib import Path

from tests.core.runtime.harness import deployment, job, request, settings, until
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.config.settings import ProfileSettings
from wan_tui.core.engine import Engine
from wan_tui.core.runtime.reloading import changes
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import JobState, LoadState

POCKET = DeploymentSettings(model="t2v-pocket", profile="cpu")


def changed(**values: object) -> DeploymentSettings:
    return POCKET.model_copy(update=values)


def test_what_has_to_happen_to_whom(home: Path) -> None:
    before = settings(home, stays=POCKET, goes=POCKET, moves=POCKET, tuned=POCKET)
    after = settings(home, stays=POCKET, comes=POCKET, moves=changed(device="cpu"), tuned=changed(wanted_loaded=True))
    found = changes(before, after)
    assert (found.added, found.removed, found.rebuilt, found.adjusted) == (
        ("comes",),
        ("goes",),
        ("moves",),
        ("tuned",),
    )
    assert str(found) == "added comes; removed goes; changed moves, tuned"
    assert str(changes(before, before)) == "no deployment changed"


def test_a_profile_that_means_something_else_needs_another_worker() -> None:
    before, after = (
        Settings(profiles={"mine": profile}, deployments={"pocket": changed(profile="mine")})
        for profile in (ProfileSettings(device="cpu"), ProfileSettings(device="cpu", vae_tiling=True))
    )
    assert changes(before, after).rebuilt == ("pocket",)


async def test_unchanged_ones_keep_worker_and_job_others_come_go_and_change(home: Path) -> None:
    before = settings(home, stays=POCKET, goes=POCKET, moves=changed(wanted_loaded=True))
    after = settings(home, stays=POCKET, moves=changed(wanted_loaded=True, device="cpu"), comes=POCKET)
    async with Engine(before) as engine:
        job_id = await engine.generate(request(deployment="stays", steps=1000, frames=81, width=128, height=128))
        loaded = await until(engine, lambda s: job(s, job_id).step and deployment(s, "moves").state is LoadState.LOADED)
        await engine.reload(after)
        snapshot = await until(engine, lambda s: pid(s, "moves") not in (None, pid(loaded, "moves")))
        assert {status.name for status in snapshot.deployments} == {"stays", "moves", "comes"}
        assert pid(snapshot, "stays") == pid(loaded, "stays")
        assert job(snapshot, job_id).state is JobState.RUNNING
        assert snapshot.config.last_reload_successful


def pid(snapshot: Snapshot, name: str) -> int | None:
    worker = deployment(snapshot, name).worker
    return worker.pid if worker else None


async def test_a_failed_reload_is_told_and_changes_nothing(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        await until(engine, lambda s: True)
        engine.reload_failed("wan-tui.toml: a mistake")
        snapshot = await until(engine, lambda s: s.config.problem)
        assert not snapshot.config.last_reload_successful
        assert any("a mistake" in event.message and event.level == "error" for event in snapshot.log.events)
        await engine.reload(settings(home))
        assert (await until(engine, lambda s: s.config.problem is None)).config.last_reload_successful
