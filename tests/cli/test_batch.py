"""wan-tui generate --batch: all lines are checked before the first is queued, then all are followed."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.cli.harness import config, wan_tui
from wan_tui.agent.places import places
from wan_tui.agent.spawn import ensure_agent
from wan_tui.core.video import read_mp4

TINY = {"width": 64, "height": 64, "frames": 5, "steps": 1}


def batch(home: Path, *lines: object) -> str:
    file = home / "jobs.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return str(file)


def test_every_line_becomes_a_video_and_a_summary_ends_it(home: Path) -> None:
    file = batch(
        home,
        {"prompt": "a red circle", "seed": 1, "output": str(home / "one.mp4"), **TINY},
        "",
        {"prompt": "ein Kreis ●", "seed": 2, "priority": 5, "output": str(home / "two.mp4"), **TINY},
    )
    run = wan_tui("generate", "pocket", "--batch", file)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(home / "two.mp4"), str(home / "one.mp4")], "the higher priority goes first"
    assert run.stderr.strip().splitlines()[-1].startswith("2 jobs: 2 finished, in ")
    assert read_mp4(home / "two.mp4").metadata["prompt"] == "ein Kreis ●"

    again = wan_tui("generate", "pocket", "--batch", file)
    assert again.returncode == 2
    assert [line.split(": ")[1].rsplit(":", 1)[1] for line in again.stderr.strip().splitlines()] == ["1", "3"]


def test_one_that_fails_makes_status_1_and_json_is_a_line_a_job(home: Path) -> None:
    file = batch(
        home,
        {"prompt": "x", "timeout_seconds": 0.2, "frames": 5, "width": 64, "height": 64, "steps": 1000},
        {"prompt": "y", **TINY},
    )
    run = wan_tui("generate", "pocket", "--batch", file, "--json")
    assert run.returncode == 1, run.stderr
    slow, quick = (json.loads(line) for line in run.stdout.splitlines())
    assert (slow["line"], slow["state"], slow["failure"]["reason"]) == (1, "failed", "timeout")
    assert (quick["line"], quick["state"]) == (2, "finished")
    assert Path(quick["output"]).exists()
    assert "line 1: the generation failed (timeout): not done within its timeout of 0.2 s" in run.stderr
    assert run.stderr.strip().splitlines()[-1].startswith("2 jobs: 1 finished, 1 failed, in ")


def test_every_wrong_line_is_told_with_its_number_and_nothing_is_queued(home: Path) -> None:
    taken = str(home / "same.mp4")
    file = batch(
        home,
        {"prompt": "fine", **TINY},
        "not json",
        {"prompt": "x", "widht": 64},
        {"prompt": "x", "width": "64"},
        {"seed": 1},
        {"prompt": " "},
        {"prompt": "x", "seed": -1},
        {"prompt": "x", "output": taken},
        {"prompt": "x", "output": taken},
        {"prompt": "x", "output": "/nowhere/x.mp4"},
        ["a", "list"],
    )
    run = wan_tui("generate", "pocket", "--batch", file)
    assert run.returncode == 2
    assert run.stdout == ""
    lines = run.stderr.strip().splitlines()
    expected = [
        (2, "not a JSON object"),
        (3, "unknown key 'widht': did you mean width"),
        (4, "width = '64': Input should be a valid integer"),
        (5, "prompt: missing"),
        (6, "the prompt is empty"),
        (7, "seed -1"),
        (9, "line 8 writes it"),
        (10, "the directory /nowhere does not exist"),
        (11, "not a JSON object"),
    ]
    assert len(lines) == len(expected), run.stderr
    for line, (number, says) in zip(lines, expected, strict=True):
        assert line.startswith(f"wan-tui: {file}:{number}: {says}") or says in line, line
        assert f":{number}: " in line
    assert not (home / "data" / "wan-tui" / "outputs").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--prompt", "x"), "leave --prompt out"),
        (("--timeout", "3"), "leave --timeout out"),
        (("--from", "x.json"), "leave --from out"),
    ],
)
def test_options_beside_a_batch_are_refused(home: Path, more: tuple[str, ...], says: str) -> None:
    run = wan_tui("generate", "pocket", "--batch", batch(home, {"prompt": "x"}), *more)
    assert run.returncode == 2
    assert says in run.stderr


def test_files_that_are_no_batch_are_one_clear_line(home: Path) -> None:
    small = '[limits]\nmax_queued_jobs = 1\n[deployments.pocket]\nmodel = "t2v-pocket"\nprofile = "cpu"\n'
    (home / "empty.jsonl").write_text("\n\n")
    for arguments, says in (
        (("pocket", "--batch", str(home / "nowhere.jsonl")), "No such file"),
        (("pocket", "--batch", str(home / "empty.jsonl")), "no jobs in it"),
        (("--batch", batch(home, {"prompt": "x"})), "say with which deployment"),
    ):
        run = wan_tui("generate", *arguments)
        assert run.returncode == 2
        assert says in run.stderr
    run = wan_tui("--config", config(home, small), "generate", "pocket", "--batch", batch(home, *[{"prompt": "x"}] * 2))
    assert run.returncode == 2
    assert "2 jobs, and the queue takes 1 (limits.max_queued_jobs)" in run.stderr


STUDIO = """\
[exporter]
port = 0
[limits]
max_steps = 2
[deployments.studio]
model = "t2v-pocket"
profile = "cpu"
"""


def test_an_agent_that_runs_is_asked_about_its_deployments_and_limits_whatever_is_configured_here(home: Path) -> None:
    asyncio.run(ensure_agent(places(), Path(config(home, STUDIO))))
    file = batch(
        home,
        {"prompt": "fine", **TINY},
        {"prompt": "x", **TINY, "steps": 3},
        {"prompt": " ", **TINY},
        {"prompt": "y", **TINY, "steps": 3},
    )
    run = wan_tui("generate", "studio", "--batch", file)
    assert run.returncode == 2, run.stderr
    told = run.stderr.strip().splitlines()
    assert [line.split(": ")[1].rsplit(":", 1)[1] for line in told] == ["2", "3", "4"], run.stderr
    assert "limits.max_steps" in told[0]
    assert "the prompt is empty" in told[1]

    run = wan_tui("generate", "pocket", "--batch", file)
    assert run.returncode == 2
    assert "unknown deployment 'pocket': known: studio" in run.stderr, (
        "pocket is only in the configuration of this shell"
    )

    assert json.loads(wan_tui("status", "--json").stdout)["jobs"] == [], "nothing was queued"
