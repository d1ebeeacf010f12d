"""HTTP: what a browser, a scraper and a load balancer get."""

import gzip
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests import snapshots
from tests.exporter.live import promtool
from tests.snapshot_parts import AT, poller
from wan_exporter.web import Server, create_app, not_ready, serve
from wan_tui.core.errors import WanTuiError
from wan_tui.core.snapshot import Snapshot


@asynccontextmanager
async def serving(latest: Callable[[], Snapshot | None], telemetry_path: str = "/metrics") -> AsyncIterator[Server]:
    server = await serve(create_app(latest, telemetry_path=telemetry_path), "127.0.0.1", 0)
    yield server
    await server.close()


async def get(session: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str, bytes]:
    """Status, content type and body."""
    async with session.get(url, headers={name.replace("_", "-"): text for name, text in headers.items()}) as response:
        return response.status, response.headers["Content-Type"], await response.read()


# --- metrics --------------------------------------------------------------------------------------------------------


async def test_plain_text_by_default_and_clean_for_promtool(exporter: Server, session: aiohttp.ClientSession) -> None:
    status, content_type, body = await get(session, exporter.url + "metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    text = body.decode()
    for name in ("wantui_gpu_up", "process_resident_memory_bytes", "python_info", "python_gc_collections_total"):
        assert f"\n# HELP {name} " in text
    assert "_created" not in text
    promtool("check", "metrics", text=text)


async def test_openmetrics_when_asked(exporter: Server, session: aiohttp.ClientSession) -> None:
    accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1"
    status, content_type, body = await get(session, exporter.url + "metrics", Accept=accept)
    assert status == 200
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert "wantui_jobs_finished" in {family.name for family in text_string_to_metric_families(body.decode())}


async def test_a_nonsense_accept_header_gets_plain_text(exporter: Server, session: aiohttp.ClientSession) -> None:
    accept = "application/openmetrics-text; version=newest"
    status, content_type, _ = await get(session, exporter.url + "metrics", Accept=accept)
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")


async def test_gzip_when_accepted(exporter: Server, session: aiohttp.ClientSession) -> None:
    _, _, plain = await get(session, exporter.url + "metrics")
    async with session.get(exporter.url + "metrics", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        packed = await response.read()
    assert gzip.decompress(packed).startswith(plain[:1000])
    assert len(packed) < len(plain) / 4


async def test_another_telemetry_path(session: aiohttp.ClientSession) -> None:
    async with serving(snapshots.pocket_running, "/wan/metrics") as server:
        assert (await get(session, server.url + "wan/metrics"))[0] == 200
        assert (await get(session, server.url + "metrics"))[0] == 404
        assert b'href="/wan/metrics"' in (await get(session, server.url))[2]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_changes_state(exporter: Server, session: aiohttp.ClientSession, method: str) -> None:
    for path in ("metrics", "-/healthy", "-/ready", ""):
        async with session.request(method, exporter.url + path) as response:
            assert response.status == 405


# --- health ---------------------------------------------------------------------------------------------------------


async def test_healthy_and_ready(exporter: Server, session: aiohttp.ClientSession) -> None:
    assert (await get(session, exporter.url + "-/healthy"))[::2] == (200, b"healthy\n")
    assert (await get(session, exporter.url + "-/ready"))[::2] == (200, b"ready\n")


async def test_before_the_first_snapshot_healthy_but_not_ready(session: aiohttp.ClientSession) -> None:
    async with serving(lambda: None) as server:
        assert (await get(session, server.url + "-/healthy"))[0] == 200
        assert (await get(session, server.url + "-/ready"))[::2] == (503, b"no snapshot yet\n")
        status, _, body = await get(session, server.url + "metrics")
        assert status == 200
        assert b"wantui_" not in body
        assert b"process_" in body
        assert (await get(session, server.url))[0] == 200


async def test_an_old_snapshot_is_not_ready(session: aiohttp.ClientSession) -> None:
    async with serving(lambda: snapshots.pocket_running(time.time() - 600)) as server:
        status, _, body = await get(session, server.url + "-/ready")
    assert status == 503
    assert body.decode() == "the snapshot is 600 s old; 25 s are allowed\n"


def test_how_old_a_snapshot_may_be_follows_the_slowest_poller() -> None:
    snapshot = snapshots.pocket_running()  # its slowest poller waits 5 s
    assert not_ready(snapshot, AT + 24.9) is None
    assert not_ready(snapshot, AT + 25.1) is not None
    slow = replace(snapshot, pollers=(poller("storage", interval=60.0),))
    assert not_ready(slow, AT + 189) is None
    assert not_ready(replace(snapshot, pollers=()), AT + 9) is None


# --- the page -------------------------------------------------------------------------------------------------------


async def test_the_page_shows_every_deployment(exporter: Server, session: aiohttp.ClientSession) -> None:
    status, content_type, body = await get(session, exporter.url)
    page = body.decode()
    assert (status, content_type) == (200, "text/html; charset=utf-8")
    assert "width=device-width" in page
    assert "7 of 8 GPUs up" in page
    for name, verdict in (("story", "fits"), ("photo", "tight"), ("draft", "fits"), ("archive", "unknown")):
        (row,) = (line for line in page.splitlines() if line.startswith(f"<tr><td>{name}</td>"))
        assert f"<td>{verdict}</td>" in row
    for link in ("/metrics", "/-/healthy", "/-/ready"):
        assert f'href="{link}"' in page


async def test_the_page_escapes_what_it_shows(session: aiohttp.ClientSession) -> None:
    host = snapshots.pocket_running()
    evil = "<script>alert('x')</script>"
    (pocket,) = host.deployments
    snapshot = replace(
        host,
        host=replace(host.host, hostname=evil),
        driver=replace(host.driver, message=evil),
        deployments=(replace(pocket, name=evil, model=evil, profile=evil, failure=evil),),
    )
    async with serving(lambda: snapshot) as server:
        page = (await get(session, server.url))[2].decode()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 6


async def test_the_page_without_deployments(session: aiohttp.ClientSession) -> None:
    async with serving(snapshots.empty_host) as server:
        assert b"No deployment is configured" in (await get(session, server.url))[2]


# --- listening ------------------------------------------------------------------------------------------------------


async def test_a_taken_port_is_one_clear_line(exporter: Server) -> None:
    with pytest.raises(WanTuiError) as caught:
        await serve(create_app(lambda: None), exporter.host, exporter.port)
    assert str(caught.value) == (
        f"cannot serve metrics on 127.0.0.1 port {exporter.port}: the port is taken; "
        "stop what uses it or choose another port"
    )


async def test_an_impossible_address_is_one_clear_line() -> None:
    with pytest.raises(WanTuiError, match=r"^cannot serve metrics on 192\.0\.2\.1 port 0: [^\n]+$"):
        await serve(create_app(lambda: None), "192.0.2.1", 0)
    with pytest.raises(WanTuiError, match=r"^cannot serve metrics on no\.such\.host\.invalid port 0: [^\n]+$"):
        await serve(create_app(lambda: None), "no.such.host.invalid", 0)


async def test_every_address_and_ipv6(session: aiohttp.ClientSession) -> None:
    server = await serve(create_app(lambda: None), "", 0)
    assert (await get(session, f"http://127.0.0.1:{server.port}/-/healthy"))[0] == 200
    assert server.url == f"http://localhost:{server.port}/"
    await server.close()
    try:
        server = await serve(create_app(lambda: None), "::1", 0)
    except WanTuiError:
        pytest.skip("this host has no IPv6 loopback, so listening on it was NOT checked")
    assert server.url == f"http://[::1]:{server.port}/"
    assert (await get(session, server.url + "-/healthy"))[0] == 200
    await server.close()
