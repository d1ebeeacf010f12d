"""The agent as a process: what its signals do, and what systemd hears."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.core.runtime.harness import request
from wan_tui.agent.places import places
from wan_tui.agent.socket_client import SocketClient
from wan_tui.core.errors import WanTuiError
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import JobState

# A job of this many steps is big enough to run for longer than any test.
LONG = 1000
CONFIG = """\
[exporter]
port = 0
[polling]
interval_seconds = 0.3
[deployments.pocket]
model = "t2v-pocket"
profile = "cpu"
"""


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


@pytest.fixture
def config(home: Path) -> Path:
    return write(home / "wan-tui.toml", CONFIG)


@contextlib.asynccontextmanager
async def agent(
    config: Path, *options: str, **environment: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, SocketClient]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wan_exporter", "--config", str(config), *options),
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
            while True:
                with contextlib.suppress(WanTuiError):
                    client = await stack.enter_async_context(SocketClient(places().socket))
                    break
                assert process.returncode is None
                await asyncio.sleep(0.1)
            closing = stack.pop_all()
        async with closing:
            yield process, client
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def running(client: SocketClient, steps: int) -> tuple[str, Snapshot]:
    """A job that does its first steps."""
    job_id = await client.generate(
        request(steps=steps, **({"frames": 81, "width": 256, "height": 256} if steps == LONG else {}))
    )
    async with asyncio.timeout(90):
        async for snapshot in client.snapshots():
            job = snapshot.job(job_id)
            if job is not None and job.step:
                return job_id, snapshot
    raise AssertionError


async def test_sigterm_lets_the_running_job_finish_and_keeps_what_waits(config: Path, home: Path) -> None:
    async with agent(config) as (process, client):
        await running(client, steps=300)
        await client.generate(request(steps=2))
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        with pytest.raises(WanTuiError, match="stopping"):
            await client.load("pocket")
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    videos = list((home / "data" / "wan-tui" / "outputs").glob("*.mp4"))
    assert len(videos) == 1, "the running one whole, the waiting one not begun"


@pytest.mark.parametrize("how", ["timeout", "second signal"])
async def test_what_does_not_finish_in_time_is_cancelled(config: Path, home: Path, how: str) -> None:
    async with agent(config, "--drain-timeout", "1" if how == "timeout" else "600") as (process, client):
        await running(client, steps=LONG)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if how == "second signal":
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        assert time.monotonic() - began < 10
    assert not list((home / "data" / "wan-tui" / "outputs").glob("*"))


async def metrics(client: SocketClient) -> str:
    assert client.info is not None
    async with aiohttp.ClientSession() as session, session.get(client.info.metrics[0]) as response:
        return await response.text()


async def test_sighup_with_an_invalid_file_keeps_the_old_configuration_and_tells(config: Path) -> None:
    async with agent(config) as (process, client):
        job_id, before = await running(client, steps=LONG)
        write(config, CONFIG + "[polling]\n")
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            async for snapshot in client.snapshots():
                if not snapshot.config.last_reload_successful:
                    break
        assert any("not valid TOML" in event.message for event in snapshot.log.events)
        assert "wantui_config_last_reload_successful 0.0" in await metrics(client)

        write(config, CONFIG + '[deployments.second]\nmodel = "t2v-pocket"\nprofile = "cpu"\n')
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            async for snapshot in client.snapshots():
                if snapshot.deployment("second") and snapshot.config.last_reload_successful:
                    break
        text = await metrics(client)
        assert "wantui_config_last_reload_successful 1.0" in text
        assert "wantui_config_last_reload_success_timestamp_seconds 1." in text
        job = snapshot.job(job_id)
        assert job is not None
        assert job.state is JobState.RUNNING, "untouched through both"
        kept, then = snapshot.deployment("pocket"), before.deployment("pocket")
        assert kept is not None
        assert then is not None
        assert kept.worker is not None
        assert then.worker is not None
        assert kept.worker.pid == then.worker.pid


async def test_systemd_hears_ready_alive_reloading_and_stopping(config: Path, home: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(home / "notify"))
        systemd.setblocking(False)
        loop = asyncio.get_running_loop()

        async def heard(word: str) -> str:
            async with asyncio.timeout(15):
                while word not in (text := (await loop.sock_recv(systemd, 4096)).decode()):
                    pass
            return text

        environment = {"NOTIFY_SOCKET": str(home / "notify"), "WATCHDOG_USEC": "1500000"}
        async with agent(config, **environment) as (process, _):
            assert f"MAINPID={process.pid}" in await heard("READY=1")
            await heard("WATCHDOG=1")
            await heard("WATCHDOG=1")
            process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in await heard("RELOADING=1")
            await heard("READY=1")
            process.send_signal(signal.SIGTERM)
            assert "EXTEND_TIMEOUT_USEC=" in await heard("STOPPING=1")


@pytest.mark.parametrize("background", [True, False])
async def test_a_taken_metrics_port_stops_only_an_exporter(config: Path, background: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write(config, CONFIG.replace("port = 0", f"port = {port}"))
        if background:
            async with agent(config, "--agent") as (_, client):
                async for snapshot in client.snapshots():
                    assert any("the port is taken" in event.message for event in snapshot.log.events)
                    break
            return
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wan_exporter", "--config", str(config)), stderr=asyncio.subprocess.PIPE
        )
        _, text = await process.communicate()
        assert process.returncode == 1
        assert b"the port is taken" in text


async def test_a_second_exporter_on_the_socket_is_one_line(config: Path) -> None:
    async with agent(config) as (first, _):
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wan_exporter", "--config", str(config)), stderr=asyncio.subprocess.PIPE
        )
        _, text = await second.communicate()
        assert second.returncode == 1
        assert f"another agent (pid {first.pid}) already serves".encode() in text.splitlines()[-1]
