"""Agents as processes: found or started, only ever one, ended cleanly or not."""

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from tests.agent.harness import eventually, pid_of
from tests.cli.harness import wan_tui
from wan_tui.agent.places import holder, places
from wan_tui.agent.socket_client import SocketClient
from wan_tui.agent.spawn import ensure_agent, stop_agent
from wan_tui.core.errors import UsageError, WanTuiError

CONFIG = (
    '[exporter]\nport = 0\n[agent]\ndrain_seconds = 5\n[deployments.pocket]\nmodel = "t2v-pocket"\nprofile = "cpu"\n'
)


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


@pytest.fixture
def config(home: Path) -> Path:
    return write(home / "wan-tui.toml", CONFIG)


def agents(config: Path) -> list[int]:
    """Processes that were started with ``config``."""
    return [one.pid for one in psutil.process_iter(["cmdline"]) if str(config) in (one.info["cmdline"] or ())]


async def test_two_at_once_one_wins_and_both_attach(config: Path) -> None:
    here = places()
    await asyncio.gather(*(ensure_agent(here, config) for _ in range(2)))
    async with SocketClient(here.socket) as one, SocketClient(here.socket) as other:
        assert one.info is not None
        assert other.info is not None
        assert one.info.instance == other.info.instance
        assert one.info.pid == pid_of(here)
    assert os.getsid(pid_of(here)) != os.getsid(0), "no signal of this terminal reaches it"
    assert await ensure_agent(here, config) is False, "found, not started"
    # On a busy machine the loser may come to its end, or into the place of the other, only now.
    eventually(lambda: agents(config) == [pid_of(here)], 20)
    assert stop_agent(here, now=False, patience_seconds=20, say=print)
    assert holder(here) is None
    assert not here.socket.exists()


async def test_a_start_that_fails_says_why_in_one_line(home: Path) -> None:
    broken = home / "broken.toml"
    broken.write_text("[polling]\ninterval = 3\n")
    with pytest.raises(WanTuiError, match=r"the agent did not start: .*did you mean interval_seconds"):
        await ensure_agent(places(), broken)


async def test_an_idle_one_that_a_face_started_ends_itself(home: Path, config: Path) -> None:
    write(config, CONFIG.replace("[agent]", "[agent]\nidle_exit_seconds = 1"))
    here = places()
    await ensure_agent(here, config)
    eventually(lambda: holder(here) is None, 15)
    assert "idle for" in here.log.read_text()


def test_the_commands(config: Path) -> None:
    agent = ("--config", str(config), "agent")
    assert wan_tui(*agent, "status").returncode == 1
    started = wan_tui(*agent, "start")
    assert (started.returncode, started.stdout.strip()) == (0, str(places().socket)), started.stderr
    status = wan_tui(*agent, "status")
    assert f"process {pid_of(places())}" in status.stdout
    assert str(config) in status.stdout
    assert wan_tui(*agent, "socket").stdout == started.stdout
    assert "control socket at" in wan_tui(*agent, "logs").stdout
    assert wan_tui("status").returncode == 0
    other = wan_tui("--config", "/tmp/another.toml", "status")
    assert other.returncode == 1
    assert "the running agent uses" in other.stderr
    stopped = wan_tui(*agent, "stop")
    assert (stopped.returncode, holder(places())) == (0, None)
    assert "no agent runs" in wan_tui(*agent, "stop").stderr


def test_looking_leaves_no_agent_behind(config: Path) -> None:
    assert wan_tui("--config", str(config), "status").returncode == 0
    assert holder(places()) is None


def test_a_path_that_no_socket_can_have_is_told() -> None:
    with pytest.raises(UsageError, match="longer than 107 bytes"):
        places(Path("/tmp") / ("x" * 120))
