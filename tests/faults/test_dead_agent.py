"""The agent, killed while it runs one job and five wait: the next one goes on, and no video is half or missing."""

from pathlib import Path

import psutil
import pytest

from tests.agent.harness import eventually, pid_of
from tests.core.runtime.harness import request
from tests.faults.harness import SMALL, assert_whole, files, kill, said
from wan_tui.agent.places import holder, places
from wan_tui.agent.socket_client import SocketClient
from wan_tui.agent.spawn import ensure_agent, stop_agent
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import JobState

CONFIG = """\
[exporter]
port = 0
[agent]
drain_seconds = 5
[polling]
interval_seconds = 0.3
[deployments.pocket]
model = "t2v-pocket"
profile = "cpu"
"""


async def test_sigkill_with_one_running_and_five_waiting_loses_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, outputs, here = home / "wan-tui.toml", home / "data" / "wan-tui" / "outputs", places()
    config.write_text(CONFIG)
    monkeypatch.setenv("WANTUI_FAULT", "hold:write_output@7")
    await ensure_agent(here, config)
    async with SocketClient(here.socket) as client:
        running = await client.generate(request(**SMALL, priority=10))
        waiting = [await client.generate(request(**SMALL, priority=priority)) for priority in (0, 0, 5, 0, -5)]
        snapshot = await _until(client, lambda s: "held in write_output" in said(s))
    status = snapshot.deployment("pocket")
    assert status is not None
    assert status.worker is not None
    worker = status.worker.pid
    assert status.running_job == running
    assert files(outputs)[0].endswith(f".{worker}.part")

    kill(pid_of(here))
    eventually(lambda: not psutil.pid_exists(worker), 10)
    assert here.socket.exists(), "stale"
    monkeypatch.delenv("WANTUI_FAULT")
    await ensure_agent(here, config)
    async with SocketClient(here.socket) as client:
        snapshot = await _until(client, lambda s: len(s.jobs) == 6)
        assert [job.state for job in snapshot.jobs] == [JobState.QUEUED] * 6
        assert not [name for name in files(outputs) if name.endswith(".part")], "swept before anything runs"
        again = snapshot.jobs[0]
        assert (again.id, again.interruptions) == (running, 1)
        assert again.notices[-1] == "interrupted when its engine ended; it begins again"
        done = await _until(client, lambda s: all(job.state.ended for job in s.jobs))
    assert {job.state for job in done.jobs} == {JobState.FINISHED}
    by_start = sorted(done.jobs, key=lambda job: job.started_at or 0)
    assert [job.id for job in by_start] == [running, *(waiting[number] for number in (2, 0, 1, 3, 4))]
    assert_whole(outputs, videos=6)
    assert stop_agent(here, now=True, patience_seconds=20, say=print)
    assert holder(here) is None
    assert not here.socket.exists()


async def _until(client: SocketClient, condition: object) -> Snapshot:
    async for snapshot in client.snapshots():
        if condition(snapshot):  # type: ignore[operator]
            return snapshot
    raise AssertionError("the agent ended")
