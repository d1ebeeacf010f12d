"""wan-tui generate: a video, or one clear line."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.harness import config, wan_tui
from wan_tui.core.video import read_mp4


def test_it_loads_generates_and_unloads_with_rounding_told(home: Path) -> None:
    output = home / "clip.mp4"
    size = ("--width", "70", "--height", "64", "--frames", "8", "--steps", "2")
    run = wan_tui("generate", "pocket", "--prompt", "a red circle", "--output", str(output), "--seed", "7", *size)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(output)
    assert "notice: width 70 rounded to 64" in run.stderr
    assert "notice: frames 8 rounded to 9" in run.stderr
    assert "step 2/2" in run.stderr
    assert "estimated" in run.stderr
    video = read_mp4(output)
    assert (video.frames, video.width, video.height) == (9, 64, 64)
    assert video.metadata["seed"] == 7

    again = wan_tui("generate", "pocket", "--prompt", "a red circle", "--output", str(output))
    assert again.returncode == 1
    assert "never overwritten" in again.stderr
    assert read_mp4(output) == video


def test_json_is_the_job_and_a_prompt_may_come_from_stdin(home: Path) -> None:
    steps = ("--steps", "1", "--frames", "1")
    run = wan_tui("generate", "pocket", "--prompt-file", "-", "--json", *steps, stdin="ein roter Kreis ●".encode())
    assert run.returncode == 0, run.stderr
    job = json.loads(run.stdout)
    assert job["state"] == "finished"
    assert job["request"]["prompt"] == "ein roter Kreis ●"
    video = read_mp4(Path(job["output"]))
    assert (video.frames, video.metadata["prompt"]) == (1, "ein roter Kreis ●")


def one_line(run: subprocess.CompletedProcess[str]) -> str:
    """The only line on stderr, which is no traceback."""
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 1, run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("pocke", "--prompt", "x"), 2, "unknown deployment 'pocke': did you mean pocket?"),
        (("pocket", "--prompt", "x", "--width", "0", "--height", "0"), 2, "width 0: must be at least 1"),
        (("pocket", "--prompt", "x", "--frames", "-5"), 2, "frames -5"),
        (("pocket", "--prompt", "x", "--output", "/proc/x.mp4"), 1, "cannot write in /proc"),
        (("pocket", "--prompt", "x", "--output", "/nowhere/x.mp4"), 1, "/nowhere does not exist"),
        (("pocket", "--prompt", ""), 2, "prompt is empty"),
        (("pocket",), 2, "--prompt"),
        (("pocket", "--prompt", "x", "--prompt-file", "y"), 2, "either"),
        (("pocket", "--prompt-file", "/nowhere/prompt.txt"), 2, "No such file"),
        (("pocket", "--prompt", "x", "--image", "/nowhere.png"), 2, "takes only text"),
        (("ti2v-5B", "--prompt", "x"), 1, "cannot be loaded (incompatible)"),
    ],
)
def test_bad_input_is_one_clear_line(home: Path, arguments: tuple[str, ...], status: int, says: str) -> None:
    small = '[deployments.pocket]\nmodel = "t2v-pocket"\nprofile = "cpu"\n'
    small += '[deployments.ti2v-5B]\nmodel = "ti2v-5B"\ndevice = "gpu:63"\n'
    run = wan_tui("--config", config(home, small), "generate", *arguments)
    assert run.returncode == status, run.stderr
    assert says in one_line(run)


def test_a_prompt_file_that_is_not_utf_8(home: Path) -> None:
    (home / "prompt.txt").write_bytes("ein grüner Kreis".encode("latin-1"))
    run = wan_tui("generate", "pocket", "--prompt-file", str(home / "prompt.txt"))
    assert run.returncode == 2
    assert "not UTF-8 text (byte 6)" in one_line(run)


@pytest.mark.parametrize(
    "arguments", [("generate",), ("generate", "pocket", "--frames", "many"), ("nonsense",), ("--x",)]
)
def test_wrong_usage_ends_with_2_and_no_traceback(arguments: tuple[str, ...]) -> None:
    run = wan_tui(*arguments)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert run.stderr


def test_a_broken_configuration_is_one_line(home: Path) -> None:
    run = wan_tui("--config", config(home, "[polling]\ninterval = 3\n"), "status")
    assert run.returncode == 2
    assert "did you mean interval_seconds?" in one_line(run)


def test_interrupting_ends_it_without_a_traceback_and_without_a_worker(home: Path) -> None:
    command = [sys.executable, "-m", "wan_tui", "generate", "pocket", "--prompt", "x", "--steps", "1000"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    seen = ""
    deadline = time.monotonic() + 90
    while ", step " not in seen and time.monotonic() < deadline:
        seen += run.stderr.readline()
    run.send_signal(signal.SIGINT)
    _, rest = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "Traceback" not in rest
    assert not list((home / "data" / "wan-tui" / "outputs").glob("*.mp4"))
