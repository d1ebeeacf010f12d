"""History, queue control and files over the control socket: the client and any other program get the same."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.agent.harness import curl, serving
from tests.core.runtime.harness import request, settings, until
from tests.core.test_history import record
from tests.core.test_reel import video
from wan_tui.agent.embedded import EmbeddedClient
from wan_tui.agent.socket_client import SocketClient
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.errors import UsageError
from wan_tui.core.history import History
from wan_tui.core.runtime.past import PastFilter
from wan_tui.core.words import JobState


def remember(home: Path, number: int) -> None:
    history = History(home / "history.sqlite3")
    for one in range(number):
        history.record(
            record(
                float(one + 1),
                uid=f"run-{one}",
                ended_at=1000.0 + one,
                deployment="story" if one % 2 else "pocket",
                request=request(prompt=f"the {one}th fox"),
            )
        )
    history.close()


async def test_pages_over_the_socket_are_those_of_an_embedded_engine(home: Path) -> None:
    remember(home, 5)
    chosen = PastFilter(deployment="pocket", words=("fox",), since=999.5)
    async with serving(home) as (engine, _, path), SocketClient(path) as client:
        first = await client.past(chosen, None, 2)
        assert ([run.uid for run in first.runs], first.matching) == (["run-4", "run-2"], 3)
        second = await client.past(chosen, first.more, 2)
        assert ([run.uid for run in second.runs], second.more) == (["run-0"], None)
        assert await engine.past(chosen, None, 2) == first
        text = await client.past_text(PastFilter(), "json")
        assert len(json.loads(text)) == 5
        assert (await client.past_text(PastFilter(kind="load"), "csv")).count("\n") == 1
        with pytest.raises(UsageError, match="no such record"):
            await client.past(chosen, "gone", 2)
    async with EmbeddedClient(lambda: settings(home), load_wanted=False) as embedded:
        assert await embedded.past(chosen, None, 2) == first
        assert await embedded.past_text(PastFilter(), "json") == text


async def test_the_order_of_the_queue_over_the_socket(home: Path) -> None:
    """Nothing can be loaded here, so that all of it waits."""
    async with serving(home) as (engine, _, path), SocketClient(path) as client:
        engine._manager._runner.paused = True  # as while it drains: what waits stays waiting
        jobs = [await client.generate(request()) for _ in range(3)]
        await client.move(jobs[2], -1)
        await client.move(jobs[0], 1)
        assert engine.latest is not None
        waiting = sorted((job for job in engine.latest.jobs if not job.state.ended), key=lambda job: job.turn)
        assert [job.id for job in waiting] == [jobs[2], jobs[0], jobs[1]]
        with pytest.raises(UsageError, match="first in the queue already"):
            await client.move(jobs[2], -1)
        await client.remove(jobs[0])
        assert [job.id for job in engine.latest.jobs] == [jobs[1], jobs[2]]
        await client.cancel(jobs[1])
        with pytest.raises(UsageError, match="is cancelled: only a job that waits"):
            await client.move(jobs[1], 1)
        await client.remove(jobs[1])
        (left,) = engine.latest.jobs
        assert (left.id, left.state) == (jobs[2], JobState.QUEUED)
        status = engine.latest.deployment("pocket")
        assert status is not None
        assert status.totals.jobs_cancelled == 2


async def test_a_new_order_survives_a_restart(home: Path) -> None:
    wanted = settings(home, pocket=DeploymentSettings(model="t2v-pocket", profile="cpu"))
    async with Engine(wanted) as engine:
        engine._manager._runner.paused = True
        jobs = [await engine.generate(request()) for _ in range(3)]
        await engine.move(jobs[2], -2)
        await engine.remove(jobs[1])
    async with Engine(wanted) as again:
        again._manager._runner.paused = True
        snapshot = await until(again, lambda s: len(s.jobs) > 1)
        assert [job.id for job in sorted(snapshot.jobs, key=lambda job: job.turn)] == [jobs[2], jobs[0]]


@pytest.fixture
async def files(home: Path) -> AsyncIterator[tuple[Path, SocketClient]]:
    async with serving(home) as (_, _, path), SocketClient(path) as client:
        yield home, client


async def test_frames_folders_and_sidecars_of_the_other_side(files: tuple[Path, SocketClient]) -> None:
    home, client = files
    folder = home / "pictures of foxes"
    folder.mkdir()
    clip = video(folder / "a clip.mp4", 17)
    (folder / "a clip.json").write_text('{"seed": 7}')
    (folder / "fox.png").write_bytes(b"no picture")
    reel = await client.reel(str(clip), 30, 30)
    assert (reel.width, reel.height, len(reel.frames), reel.total) == (30, 20, 5, 17)
    assert await client.sidecar(str(clip)) == '{"seed": 7}'
    assert [entry.name for entry in (await client.folder(str(folder))).entries] == ["fox.png"]
    assert (await client.folder("")).path == str(home)
    with pytest.raises(UsageError, match="not a video or picture"):
        await client.reel(str(folder / "fox.png"), 30, 30)
    with pytest.raises(UsageError, match=r"gone\.json: cannot be read"):
        await client.sidecar(str(folder / "gone.mp4"))
    with pytest.raises(UsageError, match="No such file"):
        await client.folder("/no/such/folder")


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("GET", "/v1/history?kind=walk", "", "kind 'walk': must be run or load"),
        ("GET", "/v1/history?since=yesterday", "", "since 'yesterday': write a date"),
        ("GET", "/v1/history?limit=0", "", "limit '0': must be a whole number from 1 to 500"),
        ("GET", "/v1/history?limti=5", "", "unknown parameter 'limti': did you mean limit?"),
        ("GET", "/v1/history/yaml", "", "form 'yaml': must be csv or json"),
        ("GET", "/v1/frames", "", "path: missing"),
        ("GET", "/v1/frames?path=clip.mp4", "", "must be an absolute path"),
        ("GET", f"/v1/frames?path={quote('/etc/hostname')}&width=-3", "", "width '-3'"),
        ("GET", "/v1/folder?path=pictures", "", "must be an absolute path"),
        ("GET", "/v1/sidecar?path=clip.mp4", "", "must be an absolute path"),
        ("POST", "/v1/jobs/99/move", '{"by": -1}', "unknown job '99'"),
        ("POST", "/v1/jobs/99/move", '{"by": "up"}', "by: "),
        ("POST", "/v1/jobs/99/move", "", "body: "),
        ("POST", "/v1/jobs/99/remove", "", "unknown job '99'"),
    ],
)
async def test_bad_requests_get_one_clear_line(
    files: tuple[Path, SocketClient], method: str, path: str, body: str, says: str
) -> None:
    _, client = files
    async with curl(client._path) as session, session.request(method, path, data=body) as response:
        answer = await response.json()
    assert response.status == 400
    assert says in answer["error"]
    assert "\n" not in answer["error"]
