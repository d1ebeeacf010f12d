"""The control socket: who may use it, what it says, and that no client holds anybody up."""

import asyncio
import json
import os
import resource
import socket
import stat
from pathlib import Path

import pytest

from tests.agent.harness import curl, serving
from tests.core.runtime.harness import until
from wan_tui.agent.places import places
from wan_tui.agent.server import ControlSocket
from wan_tui.agent.socket_client import SocketClient
from wan_tui.core.errors import WanTuiError
from wan_tui.core.planning.questions import Question
from wan_tui.core.snapshot import Snapshot


async def test_socket_and_folder_are_for_their_owner_alone(home: Path) -> None:
    async with serving(home) as (_, _, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists(), "it goes with its engine"


async def test_another_user_gets_nothing(home: Path) -> None:
    async with serving(home, uid=os.getuid() + 1) as (_, _, path):
        async with curl(path) as session:
            for route in ("version", "snapshot", "snapshots"):
                async with session.get(f"/v1/{route}") as response:
                    assert response.status == 403
                    assert "owner" in (await response.json())["error"]
        with pytest.raises(WanTuiError, match="owner alone"):
            async with SocketClient(path):
                raise AssertionError("attached")


async def test_the_snapshot_is_the_one_of_the_engine(home: Path) -> None:
    async with serving(home) as (engine, _, path), curl(path) as session:
        async with session.get("/v1/snapshot") as response:
            snapshot = Snapshot.from_json(await response.read())
        assert [status.name for status in snapshot.deployments] == ["pocket"]
        newest = engine.latest
        assert newest is not None
        assert newest.number >= snapshot.number > 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/v1/jobs", "{", 400, "body: Invalid JSON"),
        ("POST", "/v1/jobs", "[]", 400, "body: "),
        ("POST", "/v1/jobs", '{"deployment": "pocket"}', 400, "prompt: Field required"),
        ("POST", "/v1/jobs", '{"deployment": "pocket", "prompt": "x", "stepz": 1}', 400, "unknown key 'stepz'"),
        ("POST", "/v1/jobs", '{"deployment": "pocket", "prompt": "x", "steps": "4"}', 400, "steps: "),
        ("POST", "/v1/jobs", '{"deployment": "pocke", "prompt": "x"}', 400, "did you mean pocket?"),
        ("POST", "/v1/jobs", '{"deployment": "pocket", "prompt": "x", "output": "here.mp4"}', 400, "absolute path"),
        ("POST", "/v1/deployments/pocke/load", "", 400, "did you mean pocket?"),
        ("POST", "/v1/jobs/99/cancel", "", 400, "unknown job '99'"),
        ("GET", "/v1/snapshots?after=x", "", 400, "number of a snapshot"),
        ("GET", "/v1/jobs", "", 405, "Method Not Allowed"),
        ("GET", "/v2/snapshot", "", 404, "this is v1"),
    ],
)
async def test_bad_requests_get_one_clear_line(
    home: Path, method: str, path: str, body: str, status: int, says: str
) -> None:
    async with (
        serving(home) as (_, _, where),
        curl(where) as session,
        session.request(method, path, data=body) as response,
    ):
        answer = await response.json()
    assert response.status == status
    assert says in answer["error"]
    assert "\n" not in answer["error"]
    assert answer["exit_status"] == 2


async def test_the_stream_resumes_after_a_number_of_the_same_agent(home: Path) -> None:
    async with serving(home) as (engine, _, path), curl(path) as session:
        seen = (await until(engine, lambda s: s.number >= 3)).number
        for query, at_once in ((f"after={seen}&instance=first", False), (f"after={seen}&instance=other", True)):
            async with session.get(f"/v1/snapshots?{query}") as response:
                snapshot = Snapshot.from_json(await response.content.readline())
                assert snapshot.number >= seen if at_once else snapshot.number > seen
        async with session.get(f"/v1/snapshots?after={seen + 10**9}") as response:
            assert Snapshot.from_json(await response.content.readline()).number >= seen, "not a wait for years"


async def test_two_hundred_clients_see_the_same_and_the_engine_keeps_its_pace(home: Path) -> None:
    async with serving(home) as (engine, api, path), curl(path) as session:
        start = (await until(engine, lambda s: True)).number

        async def watch() -> int:
            async with session.get("/v1/snapshots") as response:
                number = 0
                while number < start + 3:
                    number = json.loads(await response.content.readline())["number"]
                return number

        async with asyncio.timeout(60):
            numbers = await asyncio.gather(*(watch() for _ in range(200)))
        assert len(numbers) == 200
        await engine.unload("pocket")
        await asyncio.sleep(1.0)
        assert api.clients == 0, "who is gone is not counted"


async def test_a_client_that_reads_nothing_costs_little_and_holds_nobody_up(home: Path) -> None:
    async with serving(home) as (engine, api, path):
        await until(engine, lambda s: True)
        for number in range(200):
            engine.log("info", "test", f"{number}: " + "a long line " * 400)  # a snapshot of about a megabyte
        silent = []
        for _ in range(5):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(path))
            client.sendall(b"GET /v1/snapshots HTTP/1.1\r\nHost: agent\r\n\r\n")
            silent.append(client)
        seen = (await until(engine, lambda s: s.number > 2)).number
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(40):
            engine.log("info", "test", f"again {number}")
            await asyncio.sleep(0.06)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert api.clients == 5
        assert grown < 40, f"{grown:.0f} MiB more after about 40 snapshots of 1 MB for each of 5 silent clients"
        async with SocketClient(path) as client:
            async for snapshot in client.snapshots():
                assert snapshot.number > seen + 5
                break
        for client in silent:
            client.close()


async def test_a_stale_socket_is_recovered_and_a_live_one_left_alone(home: Path) -> None:
    path = places().socket
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    assert path.exists()
    async with serving(home) as (engine, api, _), SocketClient(path):
        with pytest.raises(WanTuiError, match="already serves"):
            async with ControlSocket(api, path, engine.log):
                raise AssertionError("taken over")


async def test_a_socket_that_was_removed_is_made_again(home: Path) -> None:
    """As when a runtime directory goes with the last login and comes back with the next."""
    async with serving(home) as (engine, _, path):
        path.unlink()
        path.parent.rmdir()
        await until(engine, lambda s: any("made it again" in event.message for event in s.log.events), 10)
        async with SocketClient(path) as client:
            assert client.info is not None


async def test_questions_are_answered_and_nothing_changes(home: Path) -> None:
    async with serving(home) as (engine, _, path), SocketClient(path) as client, curl(path) as session:
        before = await until(engine, lambda s: True)
        questions = [Question(deployment="pocket", frames=8), Question(model="t2v-A14B", gpu="h100 80gb hbm3")]
        here, elsewhere = await client.assess(questions)
        assert here == (await engine.assess(questions[:1]))[0], "the same over the socket"
        assert here.clip.frames == 9
        assert "rounded" in here.notices[0]
        assert "H100" in elsewhere.where
        assert elsewhere.compatibility.memory is not None
        for body, says in (
            ('{"deployment": "pocke"}', "did you mean pocket?"),
            ('[{"deploymnt": "pocket"}]', "0: unknown key 'deploymnt'"),
            ('[{"deployment": "pocket", "frames": "9"}]', "0.frames: "),
            ("[", "Invalid JSON"),
            ("[3]", "0: "),
        ):
            async with session.post("/v1/assessments", data=body) as response:
                assert response.status == 400
                assert says in (await response.json())["error"]
        assert engine.latest is not None
        assert engine.latest.jobs == before.jobs
