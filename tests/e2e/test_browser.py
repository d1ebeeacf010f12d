"""``wan-tui serve`` in a real browser: a click, a key, and what they lead to in the engine."""

import asyncio
import base64
import contextlib
import io
import itertools
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tests.agent.harness import curl
from wan_tui.agent.places import answers, places
from wan_tui.cli.serve import is_loopback, serve
from wan_tui.core.errors import UsageError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def process(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program in a group of its own, ended with all that it started."""
    started = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await started.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)


class Page:
    """One page of a browser, through its debugging protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: str | None = None

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(message | ({"sessionId": self._session} if self._session else {}))
        while True:
            answer = json.loads(await self._socket.receive_str())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    async def open(self, url: str) -> None:
        target = (await self.call("Target.createTarget", url=url))["targetId"]
        self._session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]

    async def picture(self) -> Image.Image:
        data = (await self.call("Page.captureScreenshot", format="png"))["data"]
        return Image.open(io.BytesIO(base64.b64decode(data)))

    async def click(self, x: int, y: int) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")


@contextlib.asynccontextmanager
async def browser(home: Path) -> AsyncIterator[Page]:
    assert CHROMIUM
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
        "--no-first-run",
        "--window-size=1200,800",
    )
    async with process(CHROMIUM, *options, f"--user-data-dir={home / 'browser'}", "about:blank") as started:
        assert started.stderr is not None
        while b"DevTools listening on" not in (line := await started.stderr.readline()):
            assert line, "the browser did not start"
        url = line.decode().split("listening on ")[1].strip()
        reading = asyncio.create_task(started.stderr.read())
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=1 << 26) as socket:
            yield Page(socket)
        reading.cancel()


def colours(picture: Image.Image) -> int:
    return len(picture.convert("RGB").resize((300, 200)).getcolors(1 << 20) or ())


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine, so the browser was NOT checked")
async def test_the_screens_work_in_a_browser(home: Path) -> None:
    file = home / "test.toml"
    file.write_text(f'[exporter]\nport = {free_port()}\n[deployments.pocket]\nmodel = "t2v-pocket"\nprofile = "cpu"\n')
    port = free_port()
    command = (sys.executable, "-m", "wan_tui", "--config", str(file), "serve", "--port", str(port))
    async with process(*command) as served, browser(home) as page, asyncio.timeout(120):
        assert served.stderr is not None
        reading = asyncio.create_task(served.stderr.read())
        await until_open(port)
        await page.open(f"http://127.0.0.1:{port}")
        await eventually(agent_is_there)  # the page has opened the screens, and they an agent
        await eventually(lambda: has_colours(page))
        await page.click(600, 400)

        async def load() -> bool:
            await page.press("l")
            return await is_loaded()

        await eventually(load)
        before = (await page.picture()).tobytes()
        await page.press("7")
        await eventually(lambda: is_another(page, before))
        reading.cancel()


async def agent_is_there() -> bool:
    return await asyncio.to_thread(answers, places().socket)


async def has_colours(page: Page) -> bool:
    """A page without a screen in it has a few greys."""
    return colours(await page.picture()) >= 20


async def is_another(page: Page, before: bytes) -> bool:
    return (await page.picture()).tobytes() != before


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - what is waited for is in other processes
        await asyncio.sleep(0.3)


async def until_open(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.2)
        else:
            writer.close()
            return


async def is_loaded() -> bool:
    """As the agent that the browser's screens attached to says."""
    async with curl(places().socket) as session, session.get("/v1/snapshot") as answer:
        return bool((await answer.json())["deployments"][0]["state"] == "loaded")


def test_an_address_that_others_reach_is_refused() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    with pytest.raises(UsageError, match="--allow-remote"):
        serve("0.0.0.0", 8022, allow_remote=False, arguments=())
