"""Attached over the socket: the same protocol as embedded, and what happens when the agent goes."""

import asyncio
from pathlib import Path

import pytest

from tests.agent.harness import info, serving
from tests.core.runtime.harness import request, until
from tests.snapshot_parts import AT, h100
from wan_tui.agent.places import places
from wan_tui.agent.socket_client import AgentGone, SocketClient
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.words import JobState


async def test_a_job_over_the_socket(home: Path) -> None:
    async with serving(home) as (_, _, path), SocketClient(path) as client:
        job_id = await client.generate(request(steps=2))
        async for snapshot in client.snapshots():  # the first one knows the job already
            job = snapshot.job(job_id)
            assert job is not None
            if job.state.ended:
                break
        assert job.state is JobState.FINISHED
        assert job.output is not None
        await client.load("pocket")
        await client.unload("pocket")
        with pytest.raises(UsageError, match="already finished"):
            await client.cancel(job_id)


async def test_errors_come_as_what_they_were(home: Path) -> None:
    async with serving(home) as (_, _, path), SocketClient(path) as client:
        with pytest.raises(UsageError, match="did you mean pocket"):
            await client.load("pockets")
        with pytest.raises(WanTuiError, match="does not exist") as failure:
            await client.generate(request(output="/nowhere/x.mp4"))
        assert failure.value.exit_status == 1


@pytest.mark.parametrize("other", [{"version": "9.9.9"}, {"api": "v2"}])
async def test_another_version_is_one_clear_line(home: Path, other: dict[str, str]) -> None:
    async with serving(home, info(**other)) as (_, _, path):
        with pytest.raises(WanTuiError, match="wan-tui agent stop"):
            async with SocketClient(path):
                raise AssertionError("attached")


async def test_without_an_agent_it_is_one_clear_line() -> None:
    with pytest.raises(AgentGone, match=r"no agent answers at .*agent\.sock: No such file"):
        async with SocketClient(places().socket):
            raise AssertionError("attached")


async def test_the_snapshots_go_on_with_the_next_agent(home: Path) -> None:
    async with serving(home) as (engine, _, path):
        await until(engine, lambda s: s.number > 3)
        client = await SocketClient(path, patience_seconds=20).__aenter__()
        snapshots = client.snapshots()
        before = await anext(snapshots)
    waiting = asyncio.ensure_future(anext(snapshots))
    await asyncio.sleep(0.5)
    async with serving(home, info(instance="second")):
        async with asyncio.timeout(10):
            while (after := await waiting).started_at == before.started_at:
                waiting = asyncio.ensure_future(anext(snapshots))
        assert after.started_at > before.started_at, "numbers begin anew, and yet nothing was waited for"
    await client.__aexit__(None, None, None)


async def test_without_patience_the_loss_is_told_at_once(home: Path) -> None:
    async with serving(home) as (_, _, path):
        client = await SocketClient(path).__aenter__()
        snapshots = client.snapshots()
        await anext(snapshots)

    async def read_on() -> None:
        async for _ in snapshots:
            pass

    with pytest.raises(AgentGone, match="agent gone, reconnecting"):
        await asyncio.wait_for(read_on(), 10)
    await client.__aexit__(None, None, None)


async def test_the_last_hour_of_a_gpu_over_the_socket(home: Path) -> None:
    async with serving(home) as (engine, _, path), SocketClient(path) as client:
        engine._traces.add([h100(0)], AT)
        trace = await client.gpu_history(h100(0).uuid)
        assert trace == await engine.gpu_history(h100(0).uuid)
        assert trace.power_watts == (72.5,)
        with pytest.raises(UsageError, match="unknown GPU 'GPU-none'"):
            await client.gpu_history("GPU-none")
