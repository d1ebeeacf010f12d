"""wan-tui deployments and config set: a real engine behind a real socket, and a file that nobody serves."""

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.agent.test_configuration import FILE, configured
from tests.cli.harness import config
from wan_tui.cli.main import main


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "wan-tui.toml"
    path.write_text(FILE)
    return path


def deployments_in(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(file.read_text())["deployments"]
    return found


def profile_in(file: Path) -> object:
    return deployments_in(file)["story"].get("profile")


async def test_what_the_screens_do_the_command_line_does(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def run(*arguments: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    async with configured(file):
        status, out, _ = await run("deployments")
        assert status == 0
        assert [line.split()[0] for line in out.splitlines()] == ["DEPLOYMENT", "story", "small"]
        assert {one["name"] for one in json.loads((await run("deployments", "--json"))[1])} == {"story", "small"}
        status, out, _ = await run("deployments", "profile", "story", "low-vram", "--dry-run")
        assert (status, profile_in(file)) == (0, "auto")
        assert '+profile = "low-vram"' in out
        status, out, error = await run("deployments", "profile", "story", "low-vram")
        assert (status, profile_in(file)) == (0, "low-vram")
        assert '+profile = "low-vram"' in out
        assert "the original is" in error
        assert "says so already" in (await run("deployments", "profile", "story", "low-vram"))[1]
        status, _, error = await run("deployments", "profile", "story", "lo-vram")
        assert status == 2
        assert "did you mean low-vram" in error
        assert (await run("config", "set", "deployments.story.defaults.frames", "49"))[0] == 0
        assert tomllib.loads(await asyncio.to_thread(file.read_text))["deployments"]["story"]["defaults"] == {
            "frames": 49
        }
        status, out, _ = await run("deployments", "remedies", "small")
        assert status == 0
        assert "small: fits" in out
        assert (await run("deployments", "remedies", "small", "--apply", "1"))[0] == 2
        assert (await run("deployments", "unload", "small"))[0] == 0
        status, _, error = await run("deployments", "load", "smal")
        assert status == 2
        assert "did you mean small" in error
        assert (await run("deployments", "unpin", "small"))[0] == 0


def test_a_setting_is_changed_without_an_agent_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = Path(config(home, "# ours\n[polling]\ninterval_seconds = 2  # why\n"))
    assert main(["--config", str(named), "config", "set", "polling.interval_seconds", "0.5"]) == 0
    assert "-interval_seconds = 2  # why" in capsys.readouterr().out
    assert named.read_text().startswith("# ours\n[polling]\ninterval_seconds = 0.5  # why\n")
    assert main(["--config", str(named), "config", "set", "polling.interval_seconds", "900"]) == 2
    assert "polling.interval_seconds = 900" in capsys.readouterr().err
    assert main(["--config", str(named), "config", "set", "polling..x", "1"]) == 2


def test_without_an_agent_nothing_is_loaded(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = config(home, "")
    for command in ("unload", "unpin"):
        assert main(["--config", named, "deployments", command, "pocket"]) == 1
        assert "no agent runs here" in capsys.readouterr().err
