"""The real program: ``python -m wan_exporter`` with its engine, scraped by a real Prometheus."""

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.exporter.live import prometheus
from wan_exporter.__main__ import main

CONFIG = """\
[paths]
cache = "{home}/cache"
models = "{home}/models"
outputs = "{home}/outputs"
history = "{home}/history.sqlite3"

[deployments.tiny]
model = "t2v-pocket"
profile = "cpu"
device = "cpu"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """One pocket deployment on the CPU, everything that is written under ``tmp_path``."""
    file = tmp_path / "wan-tui.toml"
    file.write_text(CONFIG.format(home=tmp_path))
    return file


@contextlib.asynccontextmanager
async def running(config: Path, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """The exporter as a process, and the host:port of each address that it says it serves."""
    listen = [option for option in options if option.startswith("--web.listen-address")]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wan_exporter", "--config", str(config), *options),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        served: list[str] = []
        async with asyncio.timeout(30):
            while len(served) < len(listen):
                line = (await process.stderr.readline()).decode()
                assert line, "the exporter ended before it served anything"
                served += re.findall(r"serves http://(\S+:\d+)/", line)
        yield process, served
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def refused(*options: str) -> tuple[int, str]:
    """Exit status and stderr of an exporter that does not start."""
    command = [sys.executable, "-m", "wan_exporter", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


async def test_prometheus_sees_the_deployment(config: Path, tmp_path: Path) -> None:
    async with (
        running(config, "--web.listen-address=127.0.0.1:0") as (_, (target,)),
        prometheus(tmp_path, target) as server,
    ):
        (state,) = await server.until('wantui_deployment_state{deployment="tiny"} == 1')
        assert state["metric"]["state"] == "unloaded"
        (info,) = await server.query("wantui_deployment_info")
        assert (info["metric"]["model"], info["metric"]["profile"]) == ("t2v-pocket", "cpu")
        (up,) = await server.query("up")
        assert up["value"][1] == "1"
        await server.until("wantui_poller_last_success_timestamp_seconds")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(config: Path, number: signal.Signals) -> None:
    async with running(config, "--web.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0") as (
        process,
        served,
    ):
        assert len(set(served)) == 2
        process.send_signal(number)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        assert process.stderr is not None
        assert b"Traceback" not in await process.stderr.read()


def test_a_taken_port_is_one_line(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, text = refused("--config", str(config), f"--web.listen-address=127.0.0.1:{port}")
    assert (status, len(text.splitlines())) == (1, 1)
    assert text.startswith(f"wan-exporter: cannot serve metrics on 127.0.0.1 port {port}: the port is taken")


def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    status, text = refused("--config", str(tmp_path / "absent.toml"))
    assert (status, len(text.splitlines())) == (2, 1)
    assert text.startswith("wan-exporter: configuration file ")


@pytest.mark.parametrize(
    "option",
    [
        "--web.listen-address=12022",
        "--web.listen-address=::1:12022",
        "--web.listen-address=localhost:70000",
        "--web.listen-address=localhost:",
        "--web.telemetry-path=metrics",
        "--web.telemetry-path=/",
        "--web.telemetry-path=/-/ready",
        "--web.telemetry-path=/{a}",
    ],
)
def test_wrong_options_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option])
    assert ended.value.code == 2
    assert "is not " in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "wan-exporter 0.1.0\n"


def test_it_starts_without_torch_and_without_the_screens() -> None:
    program = (
        "import sys, wan_exporter.__main__; print(*(set(sys.modules) & {'torch', 'diffusers', 'textual', 'rich'}))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split() == []
