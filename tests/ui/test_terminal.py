"""What is sent to the terminal: how little, in which colours, in which characters."""

import io
import re
import sys
from dataclasses import replace

import pytest
from textual.color import Color

from tests import snapshots
from tests.ui.conftest import Drive
from wan_tui.core.errors import UsageError
from wan_tui.core.snapshot import Snapshot
from wan_tui.ui import glyphs, launch
from wan_tui.ui.options import UiOptions
from wan_tui.ui.theme import WAN_DARK

COLOUR = re.compile(r"\x1b\[[0-9;]*?(?:\b3[0-8]\b|\b4[0-8]\b|\b9[0-7]\b|\b10[0-7]\b)[0-9;]*m")
TRUE_COLOUR = re.compile(r"[34]8;2;")


def busier(snapshot: Snapshot, by: float) -> Snapshot:
    """Every GPU has moved on, as a second later they all have."""
    gpus = tuple(
        replace(
            gpu,
            utilization_ratio=0.5 + by,
            power_watts=300 + by * 100,
            temperature_celsius=50 + by * 10,
            memory_used_bytes=int((30 + 100 * by) * 2**30),
            sampled_at=gpu.sampled_at + by * 60,
        )
        if gpu.up
        else gpu
        for gpu in snapshot.gpus
    )
    return replace(snapshot, number=snapshot.number + 1, gpus=gpus)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_nothing_is_sent_for_a_snapshot_that_looks_the_same(drive: Drive, size: tuple[int, int]) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    async with drive(snapshot, size=size) as it:
        it.take_sent()
        await it.publish(replace(snapshot, number=snapshot.number + 1))
        it.app._tick()
        await it.settle()
        assert it.take_sent() == ""


@pytest.mark.parametrize(("size", "budget"), [((80, 24), 3_000), ((160, 48), 10_000)])
async def test_a_refresh_of_eight_busy_gpus_stays_in_its_budget(
    drive: Drive, size: tuple[int, int], budget: int
) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    async with drive(snapshot, size=size) as it:
        await it.publish(busier(snapshot, 0.1))
        it.take_sent()
        await it.publish(busier(snapshot, 0.2))
        sent = it.take_sent()
        assert "52 %" not in sent
        assert 0 < len(sent.encode()) < budget


async def test_one_changed_figure_is_one_place_sent(drive: Drive) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    async with drive(snapshot) as it:
        it.take_sent()
        gpus = (*snapshot.gpus[:7], replace(snapshot.gpus[7], temperature_celsius=77.0))
        await it.publish(replace(snapshot, number=snapshot.number + 1, gpus=gpus))
        sent = it.take_sent()
        assert "77" in sent
        assert sent.count("H") == 1, "one place on the screen"


async def test_an_idle_app_stays_idle(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        for key in ("1", "5", "8"):
            await it.press("escape", "escape", key)
            it.take_sent()
            await it.pilot.pause(0.15)
            assert it.take_sent() == "", f"screen {key} draws although nothing happens"


async def test_behind_a_dialog_nothing_is_drawn_and_afterwards_all_is_new(drive: Drive) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    async with drive(snapshot) as it:
        await it.press("c")
        it.take_sent()
        await it.publish(busier(snapshot, 0.1))
        assert it.take_sent() == ""
        await it.press("n")
        assert "310 / 700" in it.text("#devices")


async def test_the_preview_is_sent_once_a_picture(drive: Drive) -> None:
    snapshot = snapshots.pocket_running()
    async with drive(snapshot) as it:
        await it.press("5", "escape")
        it.take_sent()
        job = replace(snapshot.jobs[1], step=3)
        await it.publish(replace(snapshot, number=58, jobs=(snapshot.jobs[0], job, snapshot.jobs[2])))
        sent = it.take_sent()
        assert "3/4" in it.screen_text()
        assert sent
        assert "▀" not in sent


async def test_no_color_sends_no_colour_and_loses_no_meaning(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with drive(snapshots.eight_gpus_one_lost(), size=(160, 48)) as it:
        await it.press("5", "escape")
        shown = it.screen_text()
        sent = it.take_sent()
        assert not COLOUR.search(sent)
        assert "▀" not in sent, "the preview is drawn by brightness instead"
        assert "***" in shown
        assert "✗ failed" in shown
        assert "◐ running" in shown


async def test_sixteen_colours_use_the_terminals_own(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLORTERM")
    async with drive(snapshots.incompatible()) as it:
        sent = it.take_sent()
        assert not TRUE_COLOUR.search(sent)
        assert COLOUR.search(sent)
        assert "incompatible" in it.screen_text()


async def test_a_locale_without_utf8_gets_ascii_on_every_screen(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), ascii_only=True) as it:
        for keys in (("1",), ("5",), ("escape", "8"), ("question_mark",), ("escape", "1", "c")):
            await it.press(*keys)
            assert it.screen_text().isascii(), keys


def test_the_locale_decides_about_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_ALL", "C")
    assert not glyphs.locale_is_utf8()
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert glyphs.locale_is_utf8()
    monkeypatch.setenv("LC_ALL", "xx_XX.nowhere")
    assert not glyphs.locale_is_utf8()


def test_text_keeps_its_contrast_on_every_background() -> None:
    colours = WAN_DARK.variables
    backgrounds = [WAN_DARK.background, *(colours[name] for name in ("cursor-row", "field", "field-focus"))]
    roles = ("text", "strong", "dim", "title", "accent", "ok", "warn", "error")
    for background in backgrounds:
        assert background is not None
        for role in roles:
            assert contrast(colours[f"role-{role}"], background) >= 4.5, (role, background)
    assert contrast(colours["chip-text"], colours["chip"]) >= 4.5
    assert contrast(colours["chip-text"], colours["alert"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [channel / 255 for channel in Color.parse(colour).rgb]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_screen_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> object:
        raise AssertionError("the client is not made where no screen can be drawn")

    with pytest.raises(UsageError, match="needs a terminal"):
        launch.run(never, UiOptions(), embedded=True)
    for name in ("stdin", "stdout", "__stderr__"):
        monkeypatch.setattr(sys, name, Terminal())
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(UsageError, match="TERM"):
        launch.run(never, UiOptions(), embedded=True)
