"""Scrapes as Prometheus makes them: which collectors, how long, how many at once; and the pages beside them."""

import asyncio
import contextlib
import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from tests import snapshots
from tests.exporter.live import prometheus
from wan_exporter import collector
from wan_exporter.discovery import Target
from wan_exporter.documentation import families
from wan_exporter.exposition import Exposition, group_names
from wan_exporter.web import TIMEOUT_HEADER, Server, WebOptions, create_app
from wan_tui.core.snapshot import Snapshot


@contextlib.asynccontextmanager
async def serving(latest: Callable[[], Snapshot | None], options: WebOptions | None = None) -> AsyncIterator[Server]:
    server = await Server.of(create_app(latest, options=options))
    await server.listen("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.close()


async def fetch(session: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str]:
    async with session.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}) as response:
        return response.status, await response.text()


def families_of(text: str) -> set[str]:
    return {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}


# --- collect[] and exclude[] ----------------------------------------------------------------------------------------


async def test_collect_and_exclude(session: aiohttp.ClientSession) -> None:
    async with serving(snapshots.eight_gpus_one_lost) as server:
        url = server.url + "metrics"
        whole = families_of((await fetch(session, url))[1])
        gpu = families_of((await fetch(session, url + "?collect[]=gpu"))[1])
        assert "wantui_gpu_up" in gpu
        assert all(name.startswith(("wantui_gpu", "wantui_nvml", "wantui_scrape")) for name in gpu)
        two = families_of((await fetch(session, url + "?collect[]=gpu&collect[]=validation"))[1])
        assert two - gpu == {name for name in whole if name.startswith("wantui_validation")}
        rest = families_of((await fetch(session, url + "?exclude[]=gpu&exclude[]=exporter"))[1])
        assert rest - {"wantui_scrape_collector_success"} == {
            name for name in whole - gpu if not name.startswith(("process_", "python_"))
        }
        only = families_of((await fetch(session, url + "?collect[]=exporter"))[1])
        assert "process_cpu_seconds_total" in only
        assert all(name.startswith(("process_", "python_")) for name in only)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("collect[]=gpus", "unknown collector 'gpus': did you mean gpu?"),
        ("exclude[]=", "unknown collector ''"),
        ("collect[]=gpu&exclude[]=host", "cannot be combined"),
    ],
)
async def test_a_wrong_collector_is_told(session: aiohttp.ClientSession, query: str, told: str) -> None:
    async with serving(snapshots.pocket_running) as server:
        status, text = await fetch(session, f"{server.url}metrics?{query}")
    assert status == 400
    assert told in text
    assert len(text.splitlines()) == 1


async def test_without_figures_about_the_exporter(session: aiohttp.ClientSession) -> None:
    async with serving(snapshots.pocket_running, WebOptions(exporter_metrics=False)) as server:
        _, text = await fetch(session, server.url + "metrics")
        assert "wantui_build_info" in text
        assert not any(name.startswith(("process_", "python_")) for name in families_of(text))
        assert (await fetch(session, server.url + "metrics?collect[]=exporter"))[0] == 400


async def test_a_collector_that_fails_takes_nothing_else_away(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_snapshot: Snapshot) -> object:
        raise ValueError("a figure that nobody expected")

    monkeypatch.setattr(collector, "GROUPS", {**collector.GROUPS, "gpu": broken})
    async with serving(snapshots.eight_gpus_one_lost) as server:
        status, text = await fetch(session, server.url + "metrics")
    assert status == 200
    assert "wantui_deployment_state" in text
    assert "wantui_gpu_up" not in text
    assert 'wantui_scrape_collector_success{collector="gpu"} 0.0' in text
    assert 'wantui_scrape_collector_success{collector="host"} 1.0' in text
    assert "collector gpu failed" in caplog.text


# --- one scrape, many scrapes ---------------------------------------------------------------------------------------


async def test_scrapers_of_one_moment_share_the_work_and_a_newer_snapshot_does_not() -> None:
    first, current = snapshots.eight_gpus_one_lost(), [snapshots.eight_gpus_one_lost()]
    current[0] = first
    made: list[str] = []
    exposition = Exposition(lambda: current[0])

    async def body(accept: str = "", packed: bool = False) -> bytes:
        found, _ = await exposition.render(accept, group_names(False), packed)
        made.append("x")
        return found

    same = await asyncio.gather(*(body() for _ in range(20)))
    assert all(one is same[0] for one in same), "one making for all of them"
    assert gzip.decompress(await body(packed=True)) == same[0]
    assert (await body("application/openmetrics-text;version=1.0.0")).endswith(b"# EOF\n")
    current[0] = replace(first, config=replace(first.config, last_success_at=1.0))
    assert b"wantui_config_last_reload_success_timestamp_seconds 1.0" in await body()
    alone = Exposition(lambda: first, shared_seconds=0)
    one, _ = await alone.render("", group_names(False), False)
    other, _ = await alone.render("", group_names(False), False)
    assert one == other == same[0]
    assert one is not other, "made anew, to the same bytes"


@contextlib.contextmanager
def held_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No snapshot becomes text until the event is set."""
    go = threading.Event()
    whole = collector.GROUPS["host"]

    def slow(snapshot: Snapshot) -> object:
        assert go.wait(30)
        return whole(snapshot)

    monkeypatch.setattr(collector, "GROUPS", {**collector.GROUPS, "host": slow})
    try:
        yield go
    finally:
        go.set()


async def test_a_scrape_ends_before_prometheus_gives_up(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_up(monkeypatch) as go:
        async with serving(snapshots.pocket_running) as server:
            status, text = await fetch(session, server.url + "metrics", **{TIMEOUT_HEADER: "0.5"})
            assert status == 503
            assert text == "not ready within 0.45 s of this scrape\n"
            assert (await fetch(session, server.url + "-/healthy"))[0] == 200, "everything else answers meanwhile"
            go.set()
            assert (await fetch(session, server.url + "metrics", **{TIMEOUT_HEADER: "5"}))[0] == 200


@pytest.mark.parametrize("header", ["soon", "0", "-1", "nan", "inf"])
async def test_a_nonsense_timeout_is_told(session: aiohttp.ClientSession, header: str) -> None:
    async with serving(snapshots.pocket_running) as server:
        assert (await fetch(session, server.url + "metrics", **{TIMEOUT_HEADER: header}))[0] == 400


async def test_more_than_the_allowed_requests_wait_their_turn(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_up(monkeypatch) as go:
        async with serving(snapshots.pocket_running, WebOptions(max_requests=2)) as server:
            url = server.url + "metrics"
            patient = [asyncio.create_task(fetch(session, url, **{TIMEOUT_HEADER: "30"})) for _ in range(6)]
            await asyncio.sleep(0.2)
            assert (await fetch(session, url, **{TIMEOUT_HEADER: "0.2"}))[0] == 503, "no slot came free in its time"
            go.set()
            assert {status for status, _ in await asyncio.gather(*patient)} == {200}


# --- the pages ------------------------------------------------------------------------------------------------------


async def test_every_metric_is_explained_in_the_browser(session: aiohttp.ClientSession) -> None:
    async with serving(lambda: None) as server:
        status, page = await fetch(session, server.url + "docs")
        assert status == 200
        assert "width=device-width" in page
        for family in families():
            assert page.count(f'<tr id="{family.name}">') == 1
        assert 'href="/docs"' in (await fetch(session, server.url))[1]


async def test_prometheus_discovers_the_targets(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """A real Prometheus finds this exporter, with its own path, and the fleet beside it."""
    found: list[Target] = []
    options = WebOptions(telemetry_path="/wan", targets=lambda: found)
    async with serving(lambda: snapshots.pocket_running(time.time()), options) as server:
        found += [Target(f"127.0.0.1:{server.port}", own=True), Target("192.0.2.7:443", own=False, secure=True)]
        async with session.get(server.url + "sd") as response:
            assert response.content_type == "application/json"
            assert json.loads(await response.text())[1] == {
                "targets": ["192.0.2.7:443"],
                "labels": {"__meta_wantui_own": "false", "__scheme__": "https"},
            }
        jobs = f"- job_name: wantui\n  http_sd_configs: [{{url: '{server.url}sd', refresh_interval: 1s}}]"
        async with prometheus(tmp_path, jobs=jobs) as prom:
            await prom.until('wantui_worker_up{deployment="pocket"} == 1')
            urls = {one["scrapeUrl"] for one in (await prom.api("targets"))["activeTargets"]}
            assert urls == {f"http://127.0.0.1:{server.port}/wan", "https://192.0.2.7:443/metrics"}
