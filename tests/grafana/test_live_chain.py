"""From an edited configuration to a message: exporter, Prometheus, rule, Alertmanager, webhook, all of them real."""

import asyncio
import contextlib
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.exporter.live import prometheus
from tests.grafana.alertmanager import alertmanager
from tests.grafana.repository import GRAFANA, load_yaml

ALERT = "WanTuiDeploymentIncompatible"
# How soon the webhook must know. The example's own times for grouping, and ``for``, are minutes: they are shortened.
PATIENCE_SECONDS = 60.0


async def test_a_webhook_hears_of_an_incompatible_deployment_and_of_its_end(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        hook = await stack.enter_async_context(webhook())
        exporter, target, config = await stack.enter_async_context(demo_exporter())
        manager = await stack.enter_async_context(alertmanager(tmp_path, routes(tmp_path, hook.url)))
        server = await stack.enter_async_context(prometheus(tmp_path, target, more=rules_and(tmp_path, manager)))
        await server.until('wantui_deployment_verdict{deployment="cinema", verdict="fits"} == 1')
        right = config.read_text()

        config.write_text(
            "[limits]\nmax_vram_gib = 48\n\n" + right.replace('profile = "auto"', 'profile = "resident-bf16"')
        )
        exporter.send_signal(signal.SIGHUP)
        message = await hook.heard(lambda alert: alert["labels"]["alertname"] == ALERT and alert["status"] == "firing")
        assert message["labels"]["deployment"] == "cinema"
        assert message["labels"]["severity"] == "critical"
        assert message["receiver"] == "pager"
        assert "cinema" in message["annotations"]["description"]
        for link in ("runbook_url", "dashboard_url"):
            assert message["annotations"][link].startswith("http://localhost:3000/d/wantui-")

        config.write_text(right)
        exporter.send_signal(signal.SIGHUP)
        await hook.heard(lambda alert: alert["labels"]["alertname"] == ALERT and alert["status"] == "resolved")


class Hook:
    """What came to the webhook: alerts, each with the receiver that it was sent to."""

    def __init__(self) -> None:
        self.url = ""
        self.alerts: list[dict[str, Any]] = []

    async def receive(self, request: web.Request) -> web.Response:
        message = await request.json()
        self.alerts += [{**alert, "receiver": message["receiver"]} for alert in message["alerts"]]
        return web.Response()

    async def heard(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for alert in self.alerts:
                if wanted(alert):
                    return alert
            await asyncio.sleep(0.2)
        raise AssertionError(f"not heard within a minute; heard were {self.alerts}")


@contextlib.asynccontextmanager
async def webhook() -> AsyncIterator[Hook]:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/{receiver}", hook.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield hook
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def demo_exporter() -> AsyncIterator[tuple[asyncio.subprocess.Process, str, Path]]:
    """The exporter on a simulated host: its process, its host:port, and the configuration that it reads."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wan_exporter", "--demo", "healthy", "--web.listen-address=127.0.0.1:0"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading: asyncio.Task[bytes] | None = None
    try:
        text = ""
        async with asyncio.timeout(30):
            while not (served := re.search(r"serves http://(\S+:\d+)/", text)):
                line = (await process.stderr.readline()).decode()
                assert line, f"the exporter ended: {text}"
                text += line
        config = re.search(r"configuration is (\S+\.toml)", text)
        assert config is not None
        reading = asyncio.create_task(process.stderr.read())  # nobody must wait for a full pipe
        yield process, served[1], Path(config[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        await process.wait()
        if reading is not None:
            await reading


def routes(directory: Path, hook: str) -> Path:
    """The example of Alertmanager, with this webhook and without its long pauses."""
    text = (GRAFANA / "prometheus" / "alertmanager.yml").read_text()
    text = text.replace("http://127.0.0.1:9099", hook)
    text = text.replace("group_wait: 30s", "group_wait: 1s").replace("group_interval: 5m", "group_interval: 1s")
    file = directory / "alertmanager.yml"
    file.write_text(text)
    return file


def rules_and(directory: Path, manager: str) -> str:
    """The shipped rules, evaluated every second and with a shorter ``for``, and where their alerts go."""
    text = (GRAFANA / "prometheus" / "rules.yml").read_text()
    text = re.sub(r"^(\s+for:) \w+$", r"\1 3s", text, flags=re.M)
    file = directory / "rules.yml"
    file.write_text(text.replace("  - name: wantui\n", "  - name: wantui\n    interval: 1s\n", 1))
    assert [group["interval"] for group in load_yaml(file)["groups"]] == ["1s"]
    target = manager.removeprefix("http://")
    return f"rule_files: [{file}]\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{target}']}}]}}]}}\n"
