"""The screens of the real program in a real terminal: sizes, terminals with little, lines that hang up."""

import os
import pty
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.terminal import Terminal
from tests.e2e.test_terminal_ui import port, program_in
from wan_tui.agent.places import holder, places

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux on this machine")

__all__ = ["port"]


def names_kept() -> dict[str, str]:
    names = ("HOME", "OMP_NUM_THREADS", *(name for name in os.environ if name.startswith("XDG_")))
    return {name: os.environ[name] for name in names}


def open_in(home: Path, port: int, width: int, height: int, prefix: str = "", *options: str) -> Terminal:
    """``prefix`` is what stands before the program on the shell's line: variables of its environment."""
    file = home / "test.toml"
    file.write_text(f'[exporter]\nport = {port}\n[deployments.pocket]\nmodel = "t2v-pocket"\nprofile = "cpu"\n')
    command = " ".join([prefix, sys.executable, "-m", "wan_tui", *options]).strip()
    return Terminal(command, names_kept() | {"WANTUI_CONFIG": str(file)}, width=width, height=height)


@pytest.fixture
def opened() -> Iterator[list[Terminal]]:
    found: list[Terminal] = []
    yield found
    for window in found:
        window.close()


@pytest.mark.slow  # a long job at 256x256, and every size waits for it
def test_without_colour_a_generation_lives_through_every_size_and_is_cancelled(
    home: Path, port: int, opened: list[Terminal]
) -> None:
    window = open_in(home, port, 200, 60, "NO_COLOR=1")
    opened.append(window)
    window.wait_for("pocket")
    window.press("g")
    window.wait_for("NEW JOB")
    window.type("a job of many steps")
    # negative prompt, width, height, frames, steps: so much that it is not done before it is cancelled
    window.press("Tab")
    for figure in ("256", "256", "81", "900"):
        window.press("Tab", "C-a", "C-k")
        window.type(figure)
    window.press("Enter")
    window.wait_for(lambda screen: re.search(r"\d+/900", screen))
    for width, height in ((60, 20), (200, 60)):
        window.resize(width, height)
        window.wait_for(lambda screen, width=width: re.search(r"\d+/900", screen) and _widest(screen) <= width)
    coloured = window.capture_with_styles()
    assert not re.search(r"\x1b\[[0-9;]*\b(?:3[0-7]|4[0-7]|38;[25]|48;[25]|9[0-7])\b[0-9;]*m", coloured)
    window.press("Escape", "1", "c")
    window.wait_for("Cancel job")
    window.press("y")
    window.wait_for("cancelled after")
    window.press("q")
    window.wait_for("exit-status=0")


def _widest(screen: str) -> int:
    return max(map(len, screen.splitlines()), default=0)


def test_a_terminal_of_sixteen_colours_without_utf8_shows_everything_in_ascii(
    home: Path, port: int, opened: list[Terminal]
) -> None:
    window = open_in(home, port, 80, 24, "env -u COLORTERM TERM=xterm LC_ALL=C LANG=C")
    opened.append(window)
    first = window.wait_for('press  g  and type "a red circle moving right"')
    assert "fits    pocket" in first
    for tab in ("2", "3", "4", "6", "7", "8", "9", "question_mark"):
        window.type("?" if tab == "question_mark" else tab)
        shown = window.wait_for(lambda screen: screen.strip())
        time.sleep(0.5)
        assert window.screen().isascii(), (tab, shown)
    styles = window.capture_with_styles()
    assert not re.search(r"[34]8;[25];", styles), "only the terminal's own sixteen colours"
    window.press("Escape")
    window.type("q")
    window.wait_for("exit-status=0")


def test_a_hang_up_ends_the_screens_alone(home: Path, port: int, opened: list[Terminal]) -> None:
    window = open_in(home, port, 80, 24)
    opened.append(window)
    window.wait_for("pocket")
    agent = holder(places())
    assert agent
    program_in(window).send_signal(signal.SIGHUP)
    window.wait_for("exit-status=0")
    assert psutil.pid_exists(agent), "the agent goes on"


@pytest.mark.parametrize("way", ["ignored", "blocked"])
def test_a_terminal_that_is_gone_ends_the_program_even_when_nobody_says_so(home: Path, port: int, way: str) -> None:
    file = home / "test.toml"
    file.write_text(f'[exporter]\nport = {port}\n[deployments.pocket]\nmodel = "t2v-pocket"\nprofile = "cpu"\n')
    pid, terminal = pty.fork()
    if pid == 0:
        if way == "ignored":
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # the signal never arrives
        environment = names_kept() | {"WANTUI_CONFIG": str(file), "TERM": "xterm-256color", "PATH": os.environ["PATH"]}
        environment |= {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "LC_ALL": "C.UTF-8"}
        os.execve(sys.executable, [sys.executable, "-m", "wan_tui"], environment)
    seen = b""
    while b"pocket" not in seen:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, seen[-500:]
        seen += os.read(terminal, 65536)
    process = psutil.Process(pid)
    try:
        os.close(terminal)
        deadline = time.monotonic() + 20
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it goes on without a terminal"
            time.sleep(0.1)
    finally:
        process.kill()
        os.waitpid(pid, 0)


def test_without_a_terminal_the_plain_form_comes_and_says_so(home: Path) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "wan_tui", "--embedded"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "needs a terminal" in done.stderr
    assert "pocket" in done.stdout
    picture = home / "overview.svg"
    made = subprocess.run(
        [sys.executable, "-m", "wan_tui", "--embedded", "--screenshot", str(picture), "--size", "100x30"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert "pocket" in picture.read_text()
