"""The engine without workers: snapshots, subscribers, trouble with what it polls."""

import asyncio
import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.core.planning.parts import gpu, hardware
from tests.core.runtime.harness import deployment, settings, until
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.hardware.samples import HardwareSample
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.runtime.judging import Judge, timed
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import LoadState, Verdict


class ScriptedProbe:
    """A GPU probe that answers what the test says."""

    def __init__(self, answer: HardwareSample) -> None:
        self.answer = answer
        self.broken = False

    async def sample(self) -> HardwareSample:
        if self.broken:
            raise RuntimeError("the probe has a defect")
        return self.answer

    def close(self) -> None:
        pass


async def test_snapshots_are_numbered_immutable_and_have_one_json_form(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        first = await until(engine, lambda s: True)
        later = await until(engine, lambda s: s.number > first.number)
        assert later.taken_at >= first.taken_at
        with pytest.raises(dataclasses.FrozenInstanceError):
            first.number = 7  # type: ignore[misc]
        assert Snapshot.from_json(later.to_json()) == later


async def test_a_slow_reader_gets_the_newest_snapshot_and_holds_nobody_up(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        await until(engine, lambda s: True)
        slow = engine.snapshots()
        seen = (await anext(slow)).number
        newest = await until(engine, lambda s: s.number >= seen + 3)
        assert (await anext(slow)).number >= newest.number


async def test_as_many_gpus_are_expected_as_were_counted_first_or_are_declared(home: Path) -> None:
    probe = ScriptedProbe(hardware(gpu(80), gpu(80)))
    async with Engine(settings(home), gpu_probe=probe) as engine:
        assert (await until(engine, lambda s: True)).gpus_expected == 2
        probe.answer = hardware(gpu(80))
        fewer = await until(engine, lambda s: len(s.gpus) == 1)
        assert fewer.gpus_expected == 2
        plain = settings(home)
        polling = plain.polling.model_copy(update={"expected_gpus": 8})
        await engine.reload(plain.model_copy(update={"polling": polling}))
        assert (await until(engine, lambda s: True)).gpus_expected == 8


async def test_samples_do_not_wait_for_planning(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = ScriptedProbe(hardware(gpu(80)))
    async with Engine(settings(home), gpu_probe=probe) as engine:
        await until(engine, lambda s: s.gpus)
        planning, go_on, plan = threading.Event(), threading.Event(), Judge.compatibility

        def slowly(*arguments: Any, **keywords: Any) -> Compatibility:
            planning.set()
            go_on.wait(60)
            return plan(*arguments, **keywords)

        monkeypatch.setattr(Judge, "compatibility", slowly)
        try:
            await asyncio.to_thread(planning.wait, 60)
            for used in (10, 20, 30):  # and none of them is planned with
                probe.answer = hardware(gpu(80, used_gib=used))
                seen = probe.answer.gpus[0].memory_free_bytes
                await until(engine, lambda s, seen=seen: s.gpus[0].memory_free_bytes == seen)
        finally:
            go_on.set()


def test_a_judgement_rests_for_as_long_as_it_took_many_times_over() -> None:
    def burn(seconds: float) -> float:
        began = time.thread_time()
        while time.thread_time() < began + seconds:
            pass
        return seconds

    for seconds in (0.01, 0.04):
        answer, again = timed(burn, seconds)
        assert answer == seconds
        assert 40 * seconds <= again - time.monotonic() <= 10
    assert timed(burn, 0.4)[1] - time.monotonic() <= 10


async def test_a_lost_gpu_is_logged_and_a_defect_of_the_probe_is_survived(home: Path) -> None:
    probe = ScriptedProbe(hardware(gpu(80)))
    async with Engine(settings(home), gpu_probe=probe) as engine:
        await until(engine, lambda s: s.gpus)
        probe.answer = hardware(gpu(80, up=False, error="GPU is lost"))
        await until(engine, lambda s: any("lost" in event.message for event in s.log.events))
        probe.answer = hardware(gpu(80))
        await until(engine, lambda s: any("answers again" in event.message for event in s.log.events))

        probe.broken = True
        told = await until(engine, lambda s: any("the probe has a defect" in event.message for event in s.log.events))
        (nvml,) = (poller for poller in told.pollers if poller.poller == "nvml")
        assert nvml.failed_polls >= 1
        probe.broken = False
        await until(engine, lambda s: any("works again" in event.message for event in s.log.events))
        (nvml,) = (p for p in (await until(engine, lambda s: True)).pollers if p.poller == "nvml")
        assert nvml.last_success_at is not None


async def test_what_is_wanted_loaded_but_cannot_run_is_failed_with_the_reason(home: Path) -> None:
    impossible = DeploymentSettings(model="t2v-A14B", wanted_loaded=True)
    probe = ScriptedProbe(hardware(gpu(2)))
    async with Engine(settings(home, big=impossible), gpu_probe=probe) as engine:
        snapshot = await until(engine, lambda s: deployment(s, "big").state is LoadState.FAILED)
        status = deployment(snapshot, "big")
        assert status.compatibility.verdict is Verdict.INCOMPATIBLE
        assert status.failure == status.compatibility.reason
        assert "gpu:0 (Test 2, 2.0 GiB)" in status.failure
        with pytest.raises(WanTuiError, match="cannot be loaded"):
            await engine.load("big")
    async with Engine(settings(home, big=impossible), gpu_probe=probe, load_wanted=False) as engine:
        assert deployment(await until(engine, lambda s: True), "big").state is LoadState.UNLOADED


async def test_names_that_do_not_exist_are_refused(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        for command in (engine.load("pockett"), engine.unload("pockett"), engine.cancel("99")):
            with pytest.raises(UsageError, match="unknown"):
                await command


async def test_the_event_log_is_bounded_and_counts_what_it_dropped(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        await until(engine, lambda s: True)
        for number in range(300):
            engine.log("info", "test", f"line {number}")
        snapshot = await until(engine, lambda s: s.log.dropped)
        assert len(snapshot.log.events) == 200
        assert snapshot.log.events[-1].message == "line 299"


async def test_leaving_ends_the_readers(home: Path) -> None:
    async with Engine(settings(home)) as engine:

        async def read_to_the_end() -> int:
            return [snapshot.number async for snapshot in engine.snapshots()][-1]

        reader = asyncio.create_task(read_to_the_end())
        await until(engine, lambda s: s.number > 1)
    assert await asyncio.wait_for(reader, 5) > 1


async def test_the_snapshot_knows_how_many_files_of_a_checkpoint_are_missing(home: Path) -> None:
    made = settings(home, story=DeploymentSettings(model="ti2v-5B"))
    async with Engine(made) as engine:
        (files,) = (await until(engine, lambda s: bool(s.model_files))).model_files
    assert files.model == "ti2v-5B"
    assert files.missing > 0
