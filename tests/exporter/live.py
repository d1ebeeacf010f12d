"""Real Prometheus tools for tests: promtool, and a server that scrapes a loopback port."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

Result = list[dict[str, Any]]


def tool(name: str) -> str:
    """Path of an installed program; the test is skipped, with the reason in plain words, without it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus), so this was NOT checked")
    return path


def promtool(*arguments: str | Path, text: str | None = None) -> None:
    """Run promtool and fail with everything that it says."""
    command = [tool("promtool"), *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


class Prometheus:
    """HTTP API of a running Prometheus."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def query(self, expression: str) -> Result:
        return list((await self.api("query", query=expression))["result"])

    async def api(self, path: str, **parameters: str) -> Any:
        """The data of one answer; an error of Prometheus fails the test with its text."""
        async with self._session.get(f"{self.url}/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", f"{answer.get('error')} in {parameters}"
        return answer["data"]

    async def until(self, expression: str, seen: Callable[[Result], bool] = bool, seconds: float = 20) -> Result:
        """The result of ``expression`` as soon as it satisfies ``seen`` (by default: is not empty)."""
        end = time.monotonic() + seconds
        result = await self.query(expression)
        while not seen(result) and time.monotonic() < end:
            await asyncio.sleep(0.1)
            result = await self.query(expression)
        assert seen(result), f"after {seconds} s: {expression} is {result}"
        return result


@contextlib.asynccontextmanager
async def prometheus(
    directory: Path, target: str = "", *, path: str = "/metrics", jobs: str = "", more: str = ""
) -> AsyncIterator[Prometheus]:
    """A Prometheus in ``directory`` that scrapes ``target`` (host:port) every half second as job ``wantui``.

    ``jobs`` takes the place of that job: the list below ``scrape_configs:``; ``more`` are further sections. What lies
    in ``data`` there, however old, is part of its answers.
    """
    program = tool("prometheus")
    config = directory / "prometheus.yml"
    own = f"- {{job_name: wantui, metrics_path: {path}, static_configs: [{{targets: ['{target}']}}]}}"
    config.write_text(f"global: {{scrape_interval: 500ms}}\nscrape_configs:\n{jobs or own}\n{more}")
    port = _free_port()
    with (directory / "prometheus.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'data'}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=output,
            stderr=output,
        )
    try:
        async with aiohttp.ClientSession() as session:
            server = Prometheus(session, f"http://127.0.0.1:{port}")
            await _ready(session, server.url, process)
            yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _ready(session: aiohttp.ClientSession, url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(30):
        while True:
            assert process.returncode is None, "prometheus ended: see prometheus.log in its directory"
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{url}/-/ready") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
