"""The tab about logs: sources, levels, following, filtering, saving."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests import snapshots
from tests.snapshot_parts import AT
from tests.ui.conftest import Drive, Driver
from tests.ui.test_shell import command, type_line
from wan_tui.core.runtime.state import LogEvent
from wan_tui.core.snapshot import Snapshot
from wan_tui.ui.widgets.rows import SelectableRows


async def later(it: Driver, snapshot: Snapshot, by: float = 2.0) -> None:
    """Another snapshot, some seconds later: what the logs are asked with."""
    it.clock.now += by
    await it.publish(replace(snapshot, number=snapshot.number + 1, taken_at=it.clock.now))
    await it.settle()


async def test_sources_are_events_the_agent_and_every_worker_that_spoke(drive: Drive) -> None:
    snapshot = snapshots.pocket_running()
    async with drive(snapshot, size=(100, 24)) as it:
        it.client.spoken.add("agent", "control socket at /run/wan", "info", AT)
        it.client.spoken.add("worker pocket", "UserWarning: slow tokenizer", "", AT + 1)
        await it.press("8")
        await it.settle()
        assert "loaded in 6.5 s" in it.text("#log"), "events first"
        assert "agent" in it.text("#log-choices")
        assert "worker pocket" in it.text("#log-choices")
        await it.press("s")
        await it.settle()
        assert "control socket at /run/wan" in it.text("#log")
        await it.press("s")
        await it.settle()
        assert "slow tokenizer" in it.text("#log")
        await it.press("S", "S")
        await it.settle()
        assert "loaded in 6.5 s" in it.text("#log")


async def test_news_come_with_the_snapshots_and_only_news_are_asked_for(drive: Drive) -> None:
    snapshot = snapshots.pocket_running()
    async with drive(snapshot, size=(100, 24)) as it:
        it.client.spoken.add("agent", "first line", "info", AT)
        await command(it, ":logs agent")
        await it.settle()
        assert "first line" in it.text("#log")
        it.client.spoken.add("agent", "second line", "error", AT + 3)
        await later(it, snapshot)
        lines = it.rows("#log")
        assert "second line" in lines[1]
        assert "first line" in lines[2]


async def test_levels_hide_what_is_harmless(drive: Drive) -> None:
    snapshot = snapshots.pocket_running()
    async with drive(snapshot, size=(100, 24)) as it:
        for text in ("Loading weights", "FutureWarning: x", "RuntimeError: CUDA error"):
            it.client.spoken.add("worker pocket", text, "", AT)
        await command(it, ":logs worker pocket")
        await it.settle()
        assert len(it.rows("#log")) == 4
        await it.press("v")
        assert len(it.rows("#log")) == 3
        await it.press("v")
        assert [line for line in it.rows("#log") if "CUDA error" in line]
        assert len(it.rows("#log")) == 2


async def test_the_cursor_stays_on_its_line_until_following_is_asked_for(drive: Drive) -> None:
    snapshot = snapshots.pocket_running()
    async with drive(snapshot, size=(100, 24)) as it:
        await it.press("8", "j")
        rows = it.app.screen.query_one("#log", SelectableRows)
        chosen = rows.cursor
        assert "following" not in it.text("#log-choices")
        events = (*snapshot.log.events, LogEvent(AT, "info", "pocket", "something new"))
        await it.publish(replace(snapshot, number=58, log=replace(snapshot.log, events=events)))
        assert rows.cursor == chosen
        await it.press("f")
        assert rows.cursor == rows.keys[0]
        assert "following" in it.text("#log-choices")


async def test_what_is_shown_can_be_written_to_a_file(drive: Drive, tmp_path: Path) -> None:
    async with drive(snapshots.pocket_running(), size=(100, 24)) as it:
        target = tmp_path / "events.log"
        await it.press("8")
        await type_line(it, "/loaded")
        await it.press("enter")
        await command(it, f":save {target}")
        assert target.read_text() == "15:59:30  info  pocket  loaded in 6.5 s\n"
        assert "1 lines written" in it.text("#status") or "written to" in it.text("#status")
        await command(it, f":save {target}")
        assert "cannot write" in it.text("#status"), "nothing is overwritten"


async def test_w_writes_into_the_working_directory(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with drive(snapshots.pocket_running(), size=(100, 24)) as it:
        await it.press("8", "w")
        saved = [name for name in os.listdir() if name.startswith("wan-tui-events-")]
        assert len(saved) == 1
        assert "written to" in it.text("#status")


async def test_save_belongs_to_the_logs(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await command(it, ":save x")
        assert "open the logs first" in it.text("#status")
