"""How little goes out when many GPUs change every second, and that what the terminal then shows is the whole truth."""

import random
import re
from dataclasses import replace

import pytest

from tests import snapshots
from tests.snapshot_parts import h100
from tests.ui.conftest import Drive, Driver
from tests.ui.grid import Grid
from wan_tui.core.snapshot import Snapshot
from wan_tui.ui.text import Role, Span, changed_cells, line_width, noted, rule, shorten_path

BUDGETS = [((80, 24), 3_000), ((160, 48), 10_000)]


def busy(count: int, second: int) -> Snapshot:
    """``count`` GPUs all of whose figures are others every second."""
    by_chance = random.Random(second)
    snapshot = snapshots.eight_gpus_one_lost()
    gpus = tuple(
        replace(
            h100(index),
            uuid=f"GPU-{index:08}-1111-4222-8333-444444444444",
            sampled_at=snapshot.taken_at + second,
            utilization_ratio=by_chance.randrange(101) / 100,
            power_watts=by_chance.randrange(60, 700),
            temperature_celsius=by_chance.randrange(35, 80),
            memory_used_bytes=by_chance.randrange(1, 79 * 1024) * 2**20,
            sm_clock_hertz=by_chance.randrange(200, 1980) * 1e6,
        )
        for index in range(count)
    )
    return replace(snapshot, number=snapshot.number + second, taken_at=snapshot.taken_at + second, gpus=gpus)


@pytest.mark.parametrize(("size", "budget"), BUDGETS)
async def test_a_refresh_of_64_busy_gpus_stays_in_its_budget(drive: Drive, size: tuple[int, int], budget: int) -> None:
    sizes: list[int] = []
    async with drive(busy(64, 0), size=size) as it:
        for second in range(1, 31):
            await it.publish(busy(64, second))
            sent = len(it.take_sent().encode())
            if second > 15:  # the courses are there, and move on three times
                sizes.append(sent)
    assert all(sizes)
    assert max(sizes) < budget, sizes


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_what_the_terminal_shows_after_many_refreshes_is_what_a_new_one_would(
    drive: Drive, size: tuple[int, int]
) -> None:
    terminal = Grid(*size)
    async with drive(busy(64, 0), size=size) as it:
        terminal.feed(it.take_sent())
        for second in range(1, 14):
            await it.publish(busy(64, second))
            if second == 6:
                await it.press("shift+tab", "end", "up")
            if second == 9:
                it.app.session.say("something that was said: \u4e2d\u6587")
                await it.settle()
            terminal.feed(it.take_sent())
            for y, (shown, drawn) in enumerate(zip(terminal.rows, newly_drawn(it, size).rows, strict=True)):
                assert shown == drawn, (second, y)


def newly_drawn(it: Driver, size: tuple[int, int]) -> Grid:
    terminal = Grid(*size)
    terminal.feed(it.app.screen._compositor.render_full_update().render_segments(it.app.console))
    return terminal


async def test_one_figure_costs_one_figure(drive: Drive) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    async with drive(snapshot, size=(160, 48)) as it:
        it.take_sent()
        gpus = (*snapshot.gpus[:2], replace(snapshot.gpus[2], temperature_celsius=77.0), *snapshot.gpus[3:])
        await it.publish(replace(snapshot, number=snapshot.number + 1, gpus=gpus))
        sent = it.take_sent()
        assert "77" in sent
        assert len(sent.encode()) < 80


@pytest.mark.parametrize(
    ("terminal", "code"), [("xterm-256color", r"\x1b\[(?:\d+;)*38;5;\d+"), ("xterm", r"\x1b\[(?:\d+;)*3[0-7]")]
)
async def test_an_update_uses_the_colours_that_the_terminal_has(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, terminal: str, code: str
) -> None:
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.delenv("COLORTERM")
    async with drive(busy(8, 0), size=(160, 48)) as it:
        it.take_sent()
        await it.publish(busy(8, 1))
        sent = it.take_sent()
        assert re.search(code, sent), sent[:300]
        assert "8;2;" not in sent


async def test_devices_out_of_view_are_counted_in_the_heading(drive: Drive) -> None:
    async with drive(busy(64, 0)) as it:
        heading = next(line for line in it.screen_text().splitlines() if "DEVICES" in line)
        shown = sum("H100" in line for line in it.screen_text().splitlines())
        assert f"DEVICES … {65 - shown} more ──" in heading
        await it.press("shift+tab", "end")
        heading = next(line for line in it.screen_text().splitlines() if "DEVICES" in line)
        assert f"… {65 - shown} above ──" in heading
        await it.press("up", *["up"] * shown)
        heading = next(line for line in it.screen_text().splitlines() if "DEVICES" in line)
        assert f"… {63 - shown} above, 2 below ──" in heading
        await it.publish(snapshots.empty_host())
        assert "more" not in it.screen_text()


def test_a_note_stands_at_the_beginning_of_the_rule_or_not_at_all() -> None:
    from wan_tui.ui.text import View

    for width in (12, 20, 40):
        line = rule("DEVICES", (), View(width, 9))
        assert line_width(noted(line, "2 more")) == width
    assert "… 2 more ─" in "".join(span.text for span in noted(rule("DEVICES", (), View(40, 9)), "2 more"))
    assert noted(rule("DEVICES", (), View(14, 9)), "2 more") == rule("DEVICES", (), View(14, 9))


def test_changed_cells_are_found_whatever_the_spans() -> None:
    old = (Span("ab"), Span("   ", Role.DIM), Span("cdefghijklmnop 52 %"))
    assert changed_cells(old, (Span("ab   cdefghijklmnop 52 %"),)) == []
    assert changed_cells(old, (Span("ax   cdefghijklmnop 53 %"),)) == [(1, 2), (21, 22)]
    assert changed_cells(old, (Span("ax   yd", Role.TEXT), *old[2:])) == [(0, 26)]
    recoloured = changed_cells(old, (*old[:2], Span(old[2].text, Role.ERROR)))
    assert recoloured == [(5, 24)]
    assert changed_cells((Span("a中 "),), (Span("b中 "),)) == [(0, 4)]


@pytest.mark.parametrize("width", [56, 60, 77])
def test_a_path_in_a_long_reason_is_cut_in_its_middle(width: int) -> None:
    reason = "no agent answers at /home/operator/.cache/wan-tui/agent-1000/agent.sock: Connection refused"
    cut = shorten_path(reason, width)
    assert len(cut) == width
    assert cut.startswith("no agent answers at /h")
    assert cut.endswith(".sock: Connection refused")


def test_a_reason_without_room_for_its_path_keeps_its_beginning() -> None:
    reason = "agent gone, reconnecting (no agent answers at /run/user/1000/agent.sock: Connection refused)"
    assert shorten_path(reason, 35).startswith("agent gone, reconnecting")
    assert shorten_path(reason, 200) == reason
