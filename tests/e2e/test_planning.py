"""Planning in a real terminal, on a simulated GPU: what does not fit, what would help, and the file that it changes."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import simnvml
from tests.e2e.terminal import Terminal
from tests.simnvml import GIB, Scenario, SimGpu

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux on this machine"),
    pytest.mark.skipif(simnvml.compiler() is None, reason="no C compiler for the simulated driver"),
]

FILE = """\
# The film project.
[deployments.cinema]        # too large for this card
model = "ti2v-5B"
profile = "resident-bf16"   # as on the big machine
"""


@pytest.fixture
def file(home: Path) -> Path:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = home / "wan-tui.toml"
    path.write_text(f"{FILE}\n[exporter]\nport = {port}\n")
    return path


@pytest.fixture
def terminal(home: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    card = SimGpu(name="NVIDIA GeForce RTX 4090", memory_total_bytes=24 * GIB, memory_used_bytes=GIB)
    Scenario(gpus=[card]).write(home / "scenario")
    driver = simnvml.environment(simnvml.build(tmp_path_factory.mktemp("simnvml")), home / "scenario")
    names = ("HOME", "LD_LIBRARY_PATH", "SIMNVML_SCENARIO", *(name for name in os.environ if name.startswith("XDG_")))
    command = f"{sys.executable} -m wan_tui --embedded --config {file}"
    window = Terminal(command, {name: driver[name] for name in names}, width=100, height=40)
    yield window
    window.close()


def test_a_remedy_is_shown_made_and_taken_up_and_everything_survives_a_resize(terminal: Terminal, file: Path) -> None:
    terminal.wait_for("cinema")
    before = file.read_text()
    terminal.press("2")
    terminal.wait_for("incompatible")
    terminal.press("Enter")
    page = terminal.wait_for("WHAT WOULD MAKE IT FIT")
    assert "resident-bf16" in page
    assert "denoise" in page
    terminal.press("a")
    shown = terminal.wait_for("+profile")
    assert "-profile" in shown
    assert "Apply" in shown
    assert file.read_text() == before, "to look changes nothing"
    terminal.press("y")
    terminal.wait_for("done; the original is")
    terminal.wait_for(lambda screen: "incompatible" not in screen and "headroom" in screen)
    after = file.read_text()
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1, "one line, and every comment is kept"
    assert "# as on the big machine" in changed[0][1]
    assert file.with_name("wan-tui.toml.bak").read_text() == before

    terminal.press("3")
    terminal.wait_for(lambda screen: "[" in screen and "RTX 4090" in screen and "to go" not in screen)
    for width, height in ((60, 20), (200, 60), (80, 24)):
        terminal.resize(width, height)
        screen = terminal.wait_for(lambda screen: "ti2v-5B" in screen and "HEADROOM" in screen.upper())
        assert all(len(line) <= width for line in screen.splitlines())
    # All of it at once, as from a slow line: letters after the colon are a command and no keys.
    terminal.type(":validate cinema")
    terminal.press("Enter")
    terminal.wait_for("validate cinema: accepted")
    terminal.press("4")
    terminal.wait_for("VALIDATED")
    terminal.press("q")
    terminal.wait_for("exit-status=0")
