"""Several GPUs: where a deployment is placed, and how the replicas of one share its queue."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.runtime.harness import deployment, job, request, settings
from tests.core.runtime.simulated import A100, CLIP, H100, SimulatedHost, card, engine, until
from wan_exporter.collector import metric_families
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.runtime.balancing import Replica, share_out
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import JobFailureReason, JobState, LoadState, UnloadCause

Hosts = Callable[..., SimulatedHost]


def device(snapshot: Snapshot, name: str) -> str | None:
    plan = deployment(snapshot, name).plan
    return plan.device if plan else None


def loaded(*names: str) -> Callable[[Snapshot], bool]:
    return lambda s: all(deployment(s, name).state is LoadState.LOADED for name in names)


# Decisions, without an engine


def seconds(table: dict[str, float]) -> Callable[[str, str], float]:
    return lambda job, replica: table[replica]


@pytest.mark.parametrize(
    ("replicas", "takes", "expected"),
    [
        # equals: in turns
        ([Replica("a", 0), Replica("b", 0)], {"a": 10, "b": 10}, "abab"),
        # one is four times as fast
        ([Replica("a", 0), Replica("b", 0)], {"a": 10, "b": 40}, "aaaa"),
        ([Replica("a", 0), Replica("b", 0)], {"a": 10, "b": 25}, "aaba"),
        # one still runs a job: the other first
        ([Replica("a", 15), Replica("b", 0)], {"a": 10, "b": 10}, "bbab"),
        # loading another one pays only when enough waits
        ([Replica("a", 0), Replica("b", 25)], {"a": 10, "b": 10}, "aaab"),
        ([Replica("a", 0), Replica("b", 100)], {"a": 10, "b": 10}, "aaaa"),
        # what failed takes nothing as long as another can
        ([Replica("a", 0, usable=False), Replica("b", 1000)], {"a": 10, "b": 10}, "bbbb"),
        ([Replica("a", 0, usable=False), Replica("b", 5, usable=False)], {"a": 10, "b": 10}, "abab"),
    ],
)
def test_a_job_goes_where_it_is_predicted_to_end_first(
    replicas: list[Replica], takes: dict[str, float], expected: str
) -> None:
    chosen = share_out(["1", "2", "3", "4"], replicas, seconds(takes))
    assert "".join(chosen.values()) == expected


def test_a_job_that_waits_for_a_smaller_plan_stays_where_it_ran() -> None:
    chosen = share_out(["1", "2"], [Replica("a", 50), Replica("b", 0)], seconds({"a": 10, "b": 10}), {"1": "a"})
    assert chosen == {"1": "a", "2": "b"}


def test_replicas_have_names_of_their_own() -> None:
    story = DeploymentSettings(model="ti2v-5B", replicas=3)
    wanted = Settings(deployments={"story": story, "other": DeploymentSettings(model="ti2v-5B")})
    assert list(wanted.replicas) == ["story", "story-2", "story-3", "other"]
    assert wanted.queues == {"story": "story", "story-2": "story", "story-3": "story", "other": "other"}
    with pytest.raises(ValueError, match=r"story.replicas = 3 makes story-2, which is configured too: rename one"):
        Settings(deployments={"story": story, "story-2": DeploymentSettings(model="ti2v-5B")})


# Placement


async def test_replicas_are_spread_over_the_gpus_that_have_room(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(), card(), card())
    host.stranger(1, 76)
    async with engine(home, host, replicas=2, wanted_loaded=True) as running:
        both = await until(running, loaded("cinema", "cinema-2"))
    assert {device(both, "cinema"), device(both, "cinema-2")} == {"gpu:0", "gpu:2"}
    assert [d.replica_of for d in both.deployments] == ["cinema", "cinema"]
    assert sorted(one.plan.device for one in host.started) == ["gpu:0", "gpu:2"]


async def test_what_fits_comes_first_then_what_ends_first(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(A100), card(H100))
    leave = host.stranger(1, 70)
    async with engine(home, host) as running:
        await running.load("cinema")
        assert device(await until(running, loaded("cinema")), "cinema") == "gpu:0", "the faster card has no room"
        await running.unload("cinema")
        await until(running, lambda s: deployment(s, "cinema").state is LoadState.UNLOADED)
        leave()
        await until(running, lambda s: deployment(s, "cinema").compatibility.plan.device == "gpu:1")  # type: ignore[union-attr]
        await running.load("cinema")
        assert device(await until(running, loaded("cinema")), "cinema") == "gpu:1"


async def test_two_on_the_fast_card_would_end_later_than_one_on_the_slow_one(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(H100, 141), card(H100, 80, sm_clock_max_megahertz=1980), card(A100))
    both = {"one": DeploymentSettings(model="ti2v-5B"), "two": DeploymentSettings(model="ti2v-5B")}
    async with engine(home, host, both) as running:
        await running.load("one")
        await running.load("two")
        snapshot = await until(running, loaded("one", "two"))
    assert device(snapshot, "one") != device(snapshot, "two"), "each of two takes its turn on a card that they share"


async def test_a_replica_without_room_says_so_and_the_others_run(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(A100, 40))
    async with engine(home, host, replicas=2, wanted_loaded=True, profile="resident-bf16") as running:
        snapshot = await until(
            running,
            lambda s: {d.state for d in s.deployments} == {LoadState.LOADED, LoadState.FAILED},
        )
        (failed,) = [d for d in snapshot.deployments if d.state is LoadState.FAILED]
        (up,) = [d for d in snapshot.deployments if d.state is LoadState.LOADED]
        assert (failed.failure or "").startswith(f"no room beside {up.name}: ")
        wanted = await running.generate(request(**CLIP))
        done = job(await until(running, lambda s: job(s, wanted).state.ended), wanted)
    assert (done.state, done.replica) == (JobState.FINISHED, up.name)


# One queue


async def test_the_queue_is_shared_and_the_faster_card_runs_more(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(H100), card(A100))
    host.step_seconds = {"gpu:0": 0.02, "gpu:1": 0.08}
    async with engine(home, host, replicas=2, wanted_loaded=True) as running:
        await until(running, loaded("cinema", "cinema-2"))
        jobs = [await running.generate(request(**CLIP)) for _ in range(10)]
        waiting = await until(running, lambda s: True)
        queued = {d.name: d.queued_jobs for d in waiting.deployments}
        assert sum(queued.values()) == sum(not job(waiting, one).state.ended for one in jobs) - 2
        done = await until(running, lambda s: all(job(s, one).state.ended for one in jobs))
    assert all(job(done, one).state is JobState.FINISHED for one in jobs)
    assert all(job(done, one).request.deployment == "cinema" for one in jobs)
    finished = {d.name: d.totals.jobs_finished for d in done.deployments}
    fast, slow = sorted(finished, key=lambda name: device(done, name) or "")
    assert finished[fast] + finished[slow] == 10
    assert finished[fast] > finished[slow] > 0
    assert finished == {d.name: [job(done, one).replica for one in jobs].count(d.name) for d in done.deployments}

    series = {sample.labels.get("deployment") for family in metric_families(done) for sample in family.samples}
    assert series - {None} == {"cinema", "cinema-2"}, "a replica is a deployment in the metrics, and nothing more is"


async def test_another_replica_is_loaded_when_waiting_for_the_first_takes_longer(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(), card())
    host.step_seconds = {"gpu:0": 30.0, "gpu:1": 30.0}
    async with engine(home, host, replicas=2) as running:
        await running.load("cinema-1")
        await until(running, loaded("cinema"))
        assert len(host.started) == 1
        host.step_seconds = dict.fromkeys(host.step_seconds, 0.01)
        host.step_seconds[host.started[0].plan.device] = 30.0
        first = await running.generate(request(**{**CLIP, "steps": 1000}))
        second = await running.generate(request(**CLIP))
        done = await until(running, lambda s: job(s, second).state.ended)
        assert (job(done, second).state, job(done, second).replica) == (JobState.FINISHED, "cinema-2")
        assert job(done, first).state is JobState.RUNNING
        assert not deployment(done, "cinema-2").pinned, "its keep-alive ends it"


async def test_what_waits_for_a_replica_that_dies_goes_to_the_other(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(), card())
    host.step_seconds = {"gpu:0": 0.1, "gpu:1": 0.05}
    async with engine(home, host, replicas=2, wanted_loaded=True) as running:
        both = await until(running, loaded("cinema", "cinema-2"))
        on_first = next(d.name for d in both.deployments if d.plan and d.plan.device == "gpu:0")
        other = next(d.name for d in both.deployments if d.name != on_first)
        jobs = [await running.generate(request(**CLIP)) for _ in range(6)]
        now = await until(running, lambda s: all(d.running_job for d in s.deployments))
        lost, worker = deployment(now, on_first).running_job, deployment(now, on_first).worker
        assert lost is not None
        assert worker is not None
        host.workers[worker.pid].die()
        done = await until(running, lambda s: all(job(s, one).state.ended for one in jobs))
    failure = job(done, lost).failure
    assert failure is not None
    assert failure.reason is JobFailureReason.WORKER_DIED
    rest = [job(done, one) for one in jobs if one != lost]
    assert [(one.state, one.replica) for one in rest] == [(JobState.FINISHED, other)] * 5


async def test_a_replica_can_be_taken_out_by_its_name_and_a_command_to_the_deployment_means_all(
    home: Path, with_gpus: Hosts
) -> None:
    host = with_gpus(card(), card())
    host.step_seconds = {"gpu:0": 0.05, "gpu:1": 0.05}
    async with engine(home, host, replicas=2) as running:
        await running.load("cinema")
        await until(running, loaded("cinema", "cinema-2"))
        await running.unload("cinema-2")
        await until(running, lambda s: deployment(s, "cinema-2").state is LoadState.UNLOADED)
        jobs = [await running.generate(request(**{**CLIP, "deployment": name})) for name in ("cinema", "cinema-2") * 3]
        done = await until(running, lambda s: all(job(s, one).state.ended for one in jobs))
        assert {job(done, one).replica for one in jobs} == {"cinema"}, "whoever it was sent to"
        assert deployment(done, "cinema-2").state is LoadState.UNLOADED

        await running.load("cinema-2")
        await until(running, loaded("cinema", "cinema-2"))
        long = [await running.generate(request(**{**CLIP, "steps": 1000})) for _ in range(3)]
        await running.unload("cinema")
        done = await until(running, lambda s: all(d.state is LoadState.UNLOADED for d in s.deployments))
        assert {job(done, one).state for one in long} == {JobState.CANCELLED}
        with pytest.raises(UsageError, match="unknown deployment 'cinema-3'"):
            await running.load("cinema-3")


async def test_replicas_come_and_go_with_the_configuration_and_no_job_is_lost(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(), card())
    host.step_seconds = {"gpu:0": 0.05, "gpu:1": 0.05}

    def wanted(replicas: int) -> Settings:
        cinema = DeploymentSettings(model="ti2v-5B", replicas=replicas, wanted_loaded=True)
        return settings(home, cinema=cinema)

    async with engine(home, host, wanted_loaded=True) as running:
        first = await until(running, loaded("cinema"))
        await running.reload(wanted(2))
        both = await until(running, loaded("cinema", "cinema-2"))
        assert deployment(both, "cinema").worker == deployment(first, "cinema").worker, "it keeps its worker"
        jobs = [await running.generate(request(**CLIP)) for _ in range(6)]
        await running.reload(wanted(1))
        done = await until(running, lambda s: all(job(s, one).state.ended for one in jobs))
        assert [d.name for d in (await until(running, lambda s: len(s.deployments) == 1)).deployments] == ["cinema"]
    states = [job(done, one).state for one in jobs]
    assert states.count(JobState.FINISHED) == 5
    assert states.count(JobState.CANCELLED) == 1, "the one that ran on the replica that was taken away"


async def test_what_is_called_off_before_its_worker_started_is_unloaded(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card())
    async with engine(home, host) as running:
        await running.load("cinema")
        await running.unload("cinema")
        snapshot = await until(running, lambda s: deployment(s, "cinema").state is LoadState.UNLOADED)
        counts = {entry.label: entry.value for entry in deployment(snapshot, "cinema").totals.unloads}
        assert counts[UnloadCause.OPERATOR] == 1
        await running.load("cinema")
        await until(running, loaded("cinema"))


async def test_without_any_replica_that_can_run_a_job_is_refused(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(A100, 0.5))
    async with engine(home, host, replicas=2) as running:
        with pytest.raises(WanTuiError, match="cinema cannot be loaded"):
            await running.generate(request(**CLIP))
