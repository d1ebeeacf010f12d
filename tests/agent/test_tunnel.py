"""--host: ssh stands in as a small program that forwards on this machine."""

import os
import sys
from pathlib import Path

import pytest

from tests.agent.harness import eventually
from tests.agent.test_spawn import CONFIG
from tests.cli.harness import wan_tui
from wan_tui.agent.places import places
from wan_tui.agent.spawn import ensure_agent
from wan_tui.agent.tunnel import Tunnel
from wan_tui.core.errors import UsageError

SSH = """#!{python}
import os, socket, sys, threading
arguments = sys.argv[1:]
if "unreachable" in arguments:
    sys.exit("ssh: connect to host unreachable port 22: No route")
if "-L" not in arguments:
    os.execvp(sys.executable, [sys.executable, "-m", "wan_tui", *arguments[arguments.index("wan-tui") + 1:]])
local, remote = arguments[arguments.index("-L") + 1].split(":")
server = socket.socket(socket.AF_UNIX)
server.bind(local)
server.listen()
def pump(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
while True:
    client, _ = server.accept()
    agent = socket.socket(socket.AF_UNIX)
    try:
        agent.connect(remote)
    except OSError:
        client.close()
        continue
    for pair in ((client, agent), (agent, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@pytest.fixture(autouse=True)
def _ssh(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


async def test_status_and_jobs_of_another_host(home: Path) -> None:
    (home / "wan-tui.toml").write_text(CONFIG)
    await ensure_agent(places(), home / "wan-tui.toml")
    status = wan_tui("--host", "user@gpu01", "status")
    assert status.returncode == 0, status.stderr
    assert "pocket" in status.stdout
    run = wan_tui("--host", "user@gpu01", "generate", "pocket", "--prompt", "x", "--steps", "1", "--frames", "1")
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip().endswith(".mp4")


def test_the_forwarding_ends_with_its_owner(home: Path) -> None:
    with Tunnel("user@gpu01") as tunnel:
        process = tunnel._process
        assert process is not None
        assert process.poll() is None
        socket = tunnel.socket
        assert socket.exists()
    eventually(lambda: process.poll() is not None, 5)
    assert not socket.exists()


def test_errors_are_one_line() -> None:
    run = wan_tui("--host", "unreachable", "status")
    assert run.returncode == 1
    assert run.stderr.strip().splitlines() == [
        "wan-tui: ssh unreachable wan-tui agent socket failed: ssh: connect to host unreachable port 22: No route"
    ]
    nobody = wan_tui("--host", "user@gpu01", "status")
    assert (nobody.returncode, len(nobody.stderr.splitlines())) == (1, 1), nobody.stderr
    with pytest.raises(UsageError, match="as ssh takes it"):
        Tunnel("-oProxyCommand=x")
    both = wan_tui("--embedded", "--host", "x", "status")
    assert both.returncode == 2
