"""wan-tui jobs: the queue of a real engine behind a real socket, seen and put in order."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.agent.harness import serving
from tests.cli.harness import config
from tests.core.runtime.harness import request
from wan_tui.cli.main import main

pytestmark = pytest.mark.usefixtures("home")


async def test_the_queue_is_seen_moved_cancelled_and_emptied(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def run(*arguments: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, ["jobs", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    async with serving(home) as (engine, _, _path):
        assert await run() == (0, "no jobs yet\n", "")
        engine._manager._runner.paused = True
        for number in range(3):
            await engine.generate(request(prompt=f"job number {number}"))
        assert (await run("move", "3", "-2"))[0] == 0
        status, out, _ = await run()
        assert status == 0
        assert [line.split()[0] for line in out.splitlines()] == ["JOB", "3", "1", "2"]
        assert "64x64x9" in out
        assert (await run("cancel", "1"))[0] == 0
        assert (await run("remove", "2"))[0] == 0
        status, out, _ = await run("--json")
        assert [(job["id"], job["state"]) for job in json.loads(out)] == [("3", "queued"), ("1", "cancelled")]
        status, _, error = await run("move", "1", "1")
        assert status == 2
        assert "job 1 is cancelled: only a job that waits can be moved" in error
        status, _, error = await run("remove", "99")
        assert status == 2
        assert "unknown job '99'" in error
        assert error.count("\n") == 1


def test_without_an_agent_none_is_started(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(home, "")
    for arguments in ([], ["cancel", "1"], ["move", "1", "1"], ["remove", "1"]):
        assert main(["--config", file, "jobs", *arguments]) == 1
        assert "no agent runs here" in capsys.readouterr().err
    assert not list((home / "state").rglob("agent-*.lock"))
