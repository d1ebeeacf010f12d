"""The real wan-tui in a real terminal, its real worker, its real metrics."""

import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.terminal import Terminal
from wan_tui.core.video import read_mp4

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux on this machine")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def terminal(home: Path, port: int) -> Iterator[Terminal]:
    (home / "test.toml").write_text(
        f'[exporter]\nport = {port}\n[deployments.pocket]\nmodel = "t2v-pocket"\nprofile = "cpu"\n'
    )
    window = open_terminal(home)
    yield window
    window.close()


def open_terminal(home: Path, *options: str) -> Terminal:
    names = ("HOME", "OMP_NUM_THREADS", *(name for name in os.environ if name.startswith("XDG_")))
    environment = {name: os.environ[name] for name in names} | {"WANTUI_CONFIG": str(home / "test.toml")}
    return Terminal(" ".join([sys.executable, "-m", "wan_tui", *options]), environment)


def metric(port: int, series: str) -> float | None:
    """Value of a series on the UI's own /metrics, None when it is not there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def workers(home: Path) -> list[psutil.Process]:
    """Worker processes of the program under test, known by the environment that they inherited."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if "wan_tui.worker" in (process.info["cmdline"] or []) and process.environ()["HOME"] == str(home):
                found.append(process)
    return found


def test_open_load_generate_quit(terminal: Terminal, home: Path, port: int) -> None:
    first = terminal.wait_for("pocket")
    assert "unloaded" in first
    assert "fits" in first
    terminal.wait_for('and type "a red circle moving right"')

    terminal.press("l")
    terminal.wait_for("● loaded")
    assert metric(port, 'wantui_deployment_state{deployment="pocket",state="loaded"}') == 1

    terminal.press("g")
    terminal.wait_for("NEW JOB")
    terminal.type("a red circle moving right")
    terminal.press("Enter")
    done = terminal.wait_for("finished")
    assert "estimated" in done
    assert "▀" in done, "a preview in half blocks"
    (video,) = (home / "data" / "wan-tui" / "outputs").glob("*.mp4")
    assert read_mp4(video).metadata["prompt"] == "a red circle moving right"
    assert metric(port, 'wantui_jobs_finished_total{deployment="pocket"}') == 1

    terminal.press("Escape", "6")
    terminal.wait_for(lambda screen: "HISTORY" in screen and "load" in screen.split("HISTORY")[1])
    terminal.press("v")
    terminal.wait_for("frame")
    terminal.press("Space", "Home", "Right")
    terminal.wait_for(lambda screen: "paused  frame  5/17" in screen and "▀▀▀▀" in screen)
    terminal.press("Escape", "5", "Escape")

    terminal.resize(60, 20)
    terminal.wait_for(lambda screen: max(map(len, screen.splitlines())) <= 60 and "finished" in screen)
    terminal.resize(160, 48)
    terminal.wait_for("finished")

    terminal.press("Escape", "1", "u")
    terminal.wait_for("○ unloaded")
    assert not workers(home)
    terminal.press("q")
    terminal.wait_for("exit-status=0")


def test_a_killed_worker_is_told_and_everything_else_goes_on(terminal: Terminal, home: Path, port: int) -> None:
    terminal.wait_for("pocket")
    terminal.press("g")
    terminal.wait_for("NEW JOB")
    terminal.type("a long job")
    # to the field of steps: prompt, negative, width, height, frames, steps
    terminal.press("Tab", "Tab", "Tab", "Tab", "Tab", "C-a", "C-k")
    terminal.type("1000")
    terminal.press("Enter")
    terminal.wait_for(lambda screen: re.search(r"\d+/1000", screen))
    (worker,) = workers(home)
    worker.send_signal(signal.SIGKILL)
    terminal.wait_for("SIGKILL", patience=10)
    assert metric(port, 'wantui_deployment_state{deployment="pocket",state="failed"}') == 1
    assert metric(port, 'wantui_jobs_failed_total{deployment="pocket",reason="worker_died"}') == 1

    terminal.press("Escape", "1", "l")
    terminal.wait_for("● loaded")
    terminal.press("q")
    terminal.wait_for("exit-status=0")


def test_embedded_closing_the_terminal_ends_the_program_and_its_worker(terminal: Terminal, home: Path) -> None:
    embedded = open_terminal(home, "--embedded")
    embedded.wait_for("pocket")
    embedded.press("l")
    embedded.wait_for("● loaded")
    assert workers(home)
    embedded.close()
    deadline = time.monotonic() + 10
    while workers(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers(home)


def program_in(window: Terminal) -> psutil.Process:
    """wan-tui itself, a child of the shell of the terminal."""
    shell = psutil.Process(int(window.ask("#{pane_pid}")))
    (program,) = [child for child in shell.children() if "wan_tui" in child.cmdline()]
    return program


def test_a_job_outlives_its_terminal_and_the_next_one_shows_it(terminal: Terminal, home: Path) -> None:
    terminal.wait_for("pocket")
    terminal.press("g")
    terminal.wait_for("NEW JOB")
    terminal.type("a job that outlives its terminal")
    terminal.press("Tab", "Tab", "Tab", "Tab", "Tab", "C-a", "C-k")
    terminal.type("600")
    terminal.press("Enter")
    terminal.wait_for(lambda screen: re.search(r"\d+/600", screen))
    program = program_in(terminal)
    shell = program.parent()
    assert shell is not None
    shell.send_signal(signal.SIGHUP)  # as sshd does when the line is gone
    for process in (shell, program):  # what that did not end
        with contextlib.suppress(psutil.Error):
            process.kill()
    terminal.close()
    (worker,) = workers(home)

    again = open_terminal(home)
    again.wait_for("pocket")
    again.press("5")
    done = again.wait_for("finished")
    assert "600" in done
    assert workers(home) == [worker], "it never stopped"
    (video,) = (home / "data" / "wan-tui" / "outputs").glob("*.mp4")
    assert read_mp4(video).metadata["prompt"] == "a job that outlives its terminal"

    (agent,) = [parent for parent in [worker.parent()] if parent]
    agent.kill()
    again.wait_for("agent gone, reconnecting")
    again.press("Escape")  # in the form every letter is text
    again.press("C-q")
    again.wait_for("exit-status=0")
    again.close()
