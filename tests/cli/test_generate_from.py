"""wan-tui generate --from: the run of a sidecar again, bit for bit on a CPU."""

import json
from pathlib import Path

import pytest

from tests.cli.harness import wan_tui
from wan_tui.core.video import read_mp4

SMALL = ("--width", "64", "--height", "64", "--frames", "9", "--steps", "2")


@pytest.fixture
def recorded(home: Path) -> Path:
    run = wan_tui(
        *("generate", "pocket", "--prompt", "a red circle", "--negative-prompt", "blur", "--seed", "7", *SMALL),
        *("--priority", "3", "--timeout", "300", "--output", str(home / "first.mp4")),
    )
    assert run.returncode == 0, run.stderr
    return home / "first.json"


def test_the_same_frames_come_again_and_options_override(home: Path, recorded: Path) -> None:
    first = json.loads(recorded.read_text())
    assert (first["request"]["priority"], first["request"]["timeout_seconds"]) == (3, 300.0)

    again = wan_tui("generate", "--from", str(recorded), "--output", str(home / "again.mp4"))
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == str(home / "again.mp4")
    assert "every frame is as recorded" in again.stderr
    repeated = json.loads((home / "again.json").read_text())
    assert repeated["frames_sha256"] == first["frames_sha256"]
    assert {**repeated["request"], "output": None} == {**first["request"], "output": None}

    other = wan_tui("generate", "--from", str(recorded), "--seed", "8", "--negative-prompt", "")
    assert other.returncode == 0, other.stderr
    assert "as recorded" not in other.stderr
    video = read_mp4(Path(other.stdout.strip()))
    assert (video.metadata["seed"], video.metadata["negative_prompt"]) == (8, "")
    assert (video.metadata["prompt"], video.frames) == ("a red circle", 9)
    assert (
        json.loads(Path(other.stdout.strip()).with_suffix(".json").read_text())["frames_sha256"]
        != (first["frames_sha256"])
    )


def test_videos_made_at_once_get_a_name_and_a_sidecar_each_and_any_of_them_repeats_all(home: Path) -> None:
    ask = ("generate", "pocket", "--prompt", "a red circle", "--seed", "7", *SMALL, "--videos", "2")
    run = wan_tui(*ask, "--output", str(home / "clip.mp4"))
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [str(home / "clip-1.mp4"), str(home / "clip-2.mp4")]
    first, second = (json.loads((home / f"clip-{number}.json").read_text()) for number in (1, 2))
    assert [(one["video"], one["seed"], one["request"]["seed"]) for one in (first, second)] == [(1, 7, 7), (2, 8, 7)]
    assert first["frames_sha256"] != second["frames_sha256"]
    assert read_mp4(home / "clip-2.mp4").metadata["seed"] == 8

    again = wan_tui("generate", "--from", str(home / "clip-2.json"))
    assert again.returncode == 0, again.stderr
    assert "every frame is as recorded" in again.stderr
    names = [Path(name).name for name in again.stdout.splitlines()]
    assert [name.rpartition("-")[2] for name in names] == ["1.mp4", "2.mp4"]

    taken = wan_tui(*ask, "--output", str(home / "clip.mp4"))
    assert taken.returncode == 1
    assert "clip-1.mp4 exists and is never overwritten" in taken.stderr
    many = wan_tui(*ask[:-1], "17")
    assert many.returncode == 2
    assert "videos 17: must be between 1 and 16" in many.stderr


def test_a_sidecar_that_is_none_is_one_clear_line(home: Path) -> None:
    file = home / "bad.json"
    for content, says in (
        ('{"request": {"deployment": "pocket", "width": "wide"}}', "bad.json: request.prompt: missing"),
        ("[]", "bad.json: the whole = []"),
        ("", "bad.json: not JSON"),
    ):
        file.write_text(content)
        run = wan_tui("generate", "--from", str(file))
        assert run.returncode == 2
        assert says in run.stderr
        assert len(run.stderr.strip().splitlines()) == 1
    missing = wan_tui("generate", "--from", str(home / "nowhere.json"))
    assert missing.returncode == 2
    assert "nowhere.json: cannot be read: No such file or directory" in missing.stderr
