"""Jobs on the command line: by number or by file, the same as the keys do."""

import json
from pathlib import Path

import pytest
from textual.widgets import TextArea

from tests import snapshots
from tests.past_runs import a_week
from tests.snapshot_parts import T2V_CLIP
from tests.ui.conftest import Drive, Driver
from tests.ui.fake_client import FakeClient
from tests.ui.test_player import PATH, a_reel
from wan_tui.core.errors import UsageError
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.ui.job_verbs import queue_all, read_batch
from wan_tui.ui.screens.generate import GenerateScreen
from wan_tui.ui.screens.job_detail import JobDetail
from wan_tui.ui.screens.player import Player


async def typed(it: Driver, line: str) -> None:
    await it.press("colon")
    it.app.base_screen._prompt_line.set_text(line)  # type: ignore[union-attr]
    await it.press("enter")
    await it.pilot.pause(0.05)


async def test_jobs_are_shown_played_moved_and_removed_by_their_number(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        it.client.reels[PATH] = a_reel(3)
        await typed(it, "job job-1")
        assert isinstance(it.app.screen, JobDetail)
        await it.press("escape")
        await typed(it, "play job-1")
        assert isinstance(it.app.screen, Player)
        await it.press("escape")
        await typed(it, "move job-3 -1")
        assert it.client.commands[-1] == ("move up", "job-3")
        await typed(it, "remove job-3")
        await it.press("y")
        assert it.client.commands[-1] == ("remove", "job-3")


async def test_a_sidecar_is_repeated_or_changed_in_the_form(drive: Drive) -> None:
    request = {
        **{"deployment": "pocket", "prompt": "an old ship", "width": 64, "height": 64, "frames": 9, "steps": 4},
        **{"guidance": 4.0, "seed": 7},
    }
    async with drive(snapshots.pocket_running()) as it:
        it.client.sidecars["/out/old.json"] = json.dumps(
            {"request": request, "model": "t2v-pocket", "frames_sha256": "ab"}
        )
        it.client.sidecars["/out/other.json"] = '{"a": 1}'
        await typed(it, "again /out/old.json")
        assert (it.client.requests[-1].prompt, it.client.requests[-1].seed) == ("an old ship", 7)
        await typed(it, "edit /out/old.json")
        assert isinstance(it.app.screen, GenerateScreen)
        assert it.app.screen.query_one("#prompt", TextArea).text == "an old ship"
        await it.press("escape")
        await typed(it, "again /out/other.json")
        assert "/out/other.json: request: missing" in it.text("#status")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("play job-3", "job job-3 has no video: it is queued"),
        ("again job-99", "unknown job 'job-99'"),
        ("move job-3 up", "places 'up': a whole number"),
        ("export /tmp/history.xlsx", "end the name in .csv or .json"),
        ("batch /no/such.jsonl", "batch file /no/such.jsonl: No such file"),
        ("batch /no/such.jsonl pockte", "did you mean pocket?"),
    ],
)
async def test_what_cannot_be_done_is_one_line(drive: Drive, line: str, said: str) -> None:
    async with drive(snapshots.pocket_running(), size=(120, 24)) as it:
        await typed(it, line)
        assert said in " ".join(it.text("#status").split())
        assert it.client.commands == []


async def test_the_history_is_written_to_a_new_file_only(drive: Drive, tmp_path: Path) -> None:
    async with drive(snapshots.pocket_running(), size=(160, 24)) as it:
        it.client.runs = a_week()
        await typed(it, f"export {tmp_path}/all.json")
        assert (tmp_path / "all.json").read_text().startswith("json run-0\n")
        await typed(it, f"export {tmp_path}/all.json")
        assert "exists: choose another name" in " ".join(it.text("#status").split())


async def test_a_batch_is_queued_whole(drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"prompt": "one"}\n\n{"prompt": "two", "seed": 3, "steps": 9, "output": "two.mp4"}\n')
    async with drive(snapshots.pocket_running(), size=(120, 24)) as it:
        await typed(it, f"batch {file}")
        assert [(request.prompt, request.seed, request.steps) for request in it.client.requests] == [
            ("one", 0, 4),
            ("two", 3, 9),
        ]
        assert it.client.requests[1].output == f"{tmp_path}/two.mp4", "from where wan-tui was started"
        assert "accepted as 2 jobs, job-101 to job-102" in it.text("#status")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no jobs in it"),
        ('{"prompt": "one"}\n{"promt": "two"}', r"jobs\.jsonl:2: "),
        ("[1]", r"jobs\.jsonl:1: not a JSON object"),
        ("{", r"jobs\.jsonl:1: not a JSON object"),
        ('{"prompt": "x", "steps": "many"}', r"jobs\.jsonl:1: steps: "),
        ('{"prompt": "x", "image": 5}', r"jobs\.jsonl:1: "),
        ('{"prompt": "x", "deployment": "y"}', "leave it out of the lines"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "jobs.jsonl"
    file.write_text(content)
    with pytest.raises(UsageError, match=said):
        read_batch(file, "pocket", T2V_CLIP)


async def test_when_one_is_refused_nothing_is_queued() -> None:
    class Full(FakeClient):
        async def generate(self, request: GenerationRequest) -> str:
            if len(self.requests) == 2:
                raise UsageError("the queue is full (2 jobs): cancel some or wait")
            return await super().generate(request)

    client = Full()
    request = GenerationRequest(
        deployment="pocket", prompt="x", width=64, height=64, frames=9, steps=4, guidance=4.0, seed=0
    )
    with pytest.raises(UsageError, match=r"job 3 of the batch: the queue is full .*; nothing was queued"):
        await queue_all(client, [request] * 3)
    assert client.commands[-2:] == [("cancel", "job-101"), ("cancel", "job-102")]
