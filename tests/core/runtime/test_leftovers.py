"""What is beside a video after its worker died: what is not whole goes, what is whole or somebody else's stays."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from tests.core.runtime.harness import request
from wan_tui.core import atomic
from wan_tui.core.runtime.leftovers import clear, whole_videos
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import JobState

DEAD = 2**22 + 1  # above any process number that Linux gives


def running(place: Path, **changes: object) -> Job:
    job = Job(id="7", request=request(), state=JobState.RUNNING, submitted_at=1.0, started_at=2.0, target=str(place))
    return dataclasses.replace(job, **changes)  # type: ignore[arg-type]


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def sidecar(video: Path, job: str = "7", seed: int = 1) -> None:
    asked = {"prompt": request().prompt, "seed": seed}
    video.with_suffix(".json").write_text(json.dumps({"job": job, "request": asked}))


def parts(folder: Path, pid: int, name: str = "clip") -> None:
    (folder / f".{name}.mp4.{pid}.part").touch()
    (folder / f".{name}.json.{pid}.abc_def1.part").touch()


def test_parts_of_the_dead_worker_go_and_those_of_others_stay(tmp_path: Path) -> None:
    parts(tmp_path, DEAD)
    parts(tmp_path, 4711)
    parts(tmp_path, DEAD, name="other")
    (tmp_path / ".clip.mp4.part").touch()
    found = clear(running(tmp_path / "clip.mp4"), DEAD)
    assert [file.name for file in found.removed] == [f".clip.json.{DEAD}.abc_def1.part", f".clip.mp4.{DEAD}.part"]
    assert files(tmp_path) == sorted(
        [
            *(".clip.json.4711.abc_def1.part", ".clip.mp4.4711.part", ".clip.mp4.part"),
            *(f".other.json.{DEAD}.abc_def1.part", f".other.mp4.{DEAD}.part"),
        ]
    )


def test_the_names_are_those_that_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed between writing and naming: its link never comes."""
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(os, "unlink", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        atomic.create(tmp_path / f"{'n' * 150}.json", b"{}")
    monkeypatch.undo()
    assert len(files(tmp_path)) == 1
    clear(running(tmp_path / f"{'n' * 150}.mp4"), os.getpid())
    assert files(tmp_path) == []


def test_after_a_restart_every_part_goes_whose_worker_is_gone(tmp_path: Path) -> None:
    parts(tmp_path, DEAD)
    parts(tmp_path, os.getpid())  # a number that was given away again, to no worker
    clear(running(tmp_path / "clip.mp4"), None)
    assert files(tmp_path) == []


def test_a_sidecar_without_its_video_goes_if_it_is_of_this_job(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("an older one")
    sidecar(tmp_path / "clip.mp4", job="1")
    sidecar(tmp_path / "clip-2.mp4")
    sidecar(tmp_path / "clip-3.mp4", job="8")
    found = clear(running(tmp_path / "clip.mp4"), DEAD)
    assert [file.name for file in found.removed] == ["clip-2.json"]
    assert files(tmp_path) == ["clip-3.json", "clip.json", "clip.mp4"]
    assert found.video is None


def test_a_video_that_is_whole_is_found_and_kept(tmp_path: Path) -> None:
    for number, job in (("", "1"), ("-2", "7")):
        (tmp_path / f"clip{number}.mp4").touch()
        sidecar(tmp_path / f"clip{number}.mp4", job=job)
    done = running(tmp_path / "clip.mp4")
    assert clear(done, DEAD).video == tmp_path / "clip-2.mp4"
    assert whole_videos([done, dataclasses.replace(done, state=JobState.QUEUED)]) == {"7": tmp_path / "clip-2.mp4"}
    for another in ({"started_at": 1e12}, {"id": "8"}, {"request": request(seed=2)}, {"target": None}):
        assert clear(running(tmp_path / "clip.mp4", **another), DEAD).video is None, another
    assert len(files(tmp_path)) == 4


def test_a_folder_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    assert clear(running(tmp_path / "nowhere" / "clip.mp4"), None).removed == ()
