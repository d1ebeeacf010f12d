"""Charts and bars of device memory, cell by cell."""

from dataclasses import replace

import pytest

from wan_tui.core.planning.plan import MemoryEstimate, PhaseMemory
from wan_tui.core.runtime.timeline import MemoryPoint, Timeline
from wan_tui.core.words import Basis, Phase
from wan_tui.ui import glyphs
from wan_tui.ui.format_memory import bars_legend, chart_legend, memory_chart, phase_bars
from wan_tui.ui.text import Line, Role, line_width

GIB = 2**30


def point(at: float, used: float | None, estimated: float | None = None) -> MemoryPoint:
    return MemoryPoint(
        at=at,
        used_bytes=None if used is None else int(used * GIB),
        estimated_bytes=None if estimated is None else int(estimated * GIB),
        phase=Phase.DENOISE_HIGH_NOISE,
    )


def steady(used: float, estimated: float | None, seconds: int = 60) -> Timeline:
    return Timeline(tuple(point(at, used, estimated) for at in range(0, seconds + 1, 2)))


def shown(line: Line) -> str:
    return "".join(span.text for span in line)


def columns(lines: list[Line]) -> list[str]:
    """The chart without its axis, a string for each column, top first."""
    rows = [shown(line)[7:] for line in lines[:-1]]
    return ["".join(row[i] for row in rows) for i in range(len(rows[0]))]


@pytest.mark.parametrize("width", [20, 40, 79, 160])
@pytest.mark.parametrize("height", [3, 6, 12])
def test_every_line_has_exactly_the_width(width: int, height: int) -> None:
    lines = memory_chart(steady(20, 22), 60.0, width, height)
    assert len(lines) == height
    assert {line_width(line) for line in lines} == {width}


def test_the_estimate_is_a_line_above_what_is_used() -> None:
    lines = memory_chart(steady(5, 10), 60.0, 47, 11)
    for column in columns(lines):
        assert column.count(glyphs.HEAVY) == 1
        assert column.index(glyphs.HEAVY) < column.index(glyphs.FULL)
        assert column.endswith(glyphs.FULL)


def test_use_above_the_estimate_is_marked_and_the_line_stays_visible() -> None:
    lines = memory_chart(steady(12, 6), 60.0, 47, 11)
    assert all(glyphs.HEAVY in column for column in columns(lines))
    assert any(span.role is Role.ERROR and glyphs.DARK_SHADE in span.text for line in lines for span in line)
    assert "above the estimate" in shown(chart_legend(steady(12, 6), 100))
    assert "above the estimate" not in shown(chart_legend(steady(5, 6), 100))
    fine = memory_chart(steady(5, 6), 60.0, 47, 11)
    assert not any(span.role is Role.ERROR for line in fine for span in line)


def test_the_newest_is_at_the_right_and_a_short_peak_is_not_lost() -> None:
    points = [*steady(2, None, 3600).points]
    points[1795] = point(3590, 40)
    (peak,) = [
        n
        for n, column in enumerate(columns(memory_chart(Timeline(tuple(points)), 3600.0, 47, 11)))
        if column[0].strip()
    ]
    assert peak >= 38, "in the last columns"


def test_a_time_without_a_worker_is_empty_and_not_low() -> None:
    points = [point(at, None if 20 <= at < 40 else 8.0, 9.0) for at in range(0, 61, 2)]
    found = columns(memory_chart(Timeline(tuple(points)), 60.0, 67, 11))
    assert not any(column.strip() for column in found[22:38])
    assert all(column.strip() for column in found[2:18])
    assert all(column.strip() for column in found[42:])


@pytest.mark.parametrize(("width", "height"), [(12, 10), (40, 2)])
def test_without_room_or_use_there_is_no_chart(width: int, height: int) -> None:
    assert memory_chart(steady(5, 10), 60.0, width, height) == []
    assert memory_chart(Timeline((point(0, None),)), 60.0, 80, 20) == []


def test_the_legend_says_the_newest_figures_in_words() -> None:
    assert shown(chart_legend(steady(5, 10), 80)) == (
        f"{glyphs.FULL} used 5.0 GiB   {glyphs.HEAVY} estimated 10.0 GiB   most 5.0 GiB   denoise high noise"
    )
    assert shown(chart_legend(Timeline(), 80)) == "no worker ran in the last hour"


def phase(name: Phase, weights: float, activations: float, context: float = 0.5) -> PhaseMemory:
    return PhaseMemory(
        phase=name,
        weights_bytes=int(weights * GIB),
        activation_bytes=int(activations * GIB),
        context_bytes=int(context * GIB),
    )


MEMORY = MemoryEstimate(
    basis=Basis.MODELLED,
    loaded_bytes=10 * GIB,
    peak_bytes=16 * GIB,
    host_bytes=0,
    phases=(phase(Phase.TEXT_ENCODE, 10, 0.5), phase(Phase.VAE_DECODE, 10, 5.5)),
)


def test_bars_are_as_long_as_the_phase_is_large_on_one_scale() -> None:
    first, second = (shown(line) for line in phase_bars(MEMORY, 16 * GIB, 80))
    bar = 80 - len("text encode") - 12
    for line, total in ((first, 11.0), (second, 16.0)):
        filled = sum(line.count(mark) for mark in (glyphs.FULL, glyphs.DARK_SHADE, glyphs.CHEQUER))
        assert abs(filled - round(total / 16 * bar)) <= 1, "one cell may be the mark of what is free"
    assert first.count(glyphs.FULL) == second.count(glyphs.FULL)
    assert second.endswith("16.0 GiB")
    assert {line_width(line) for line in phase_bars(MEMORY, 16 * GIB, 80)} == {80}


def test_what_is_free_is_a_mark_and_a_phase_beyond_it_stands_out() -> None:
    lines = phase_bars(MEMORY, 12 * GIB, 80)
    assert all(shown(line).count("|") == 1 for line in lines)
    assert [line[-1].role for line in lines] == [Role.TEXT, Role.ERROR]
    assert "|" not in shown(phase_bars(MEMORY, None, 80)[0])


def test_narrow_bars_give_way_to_figures_and_the_legend_breaks() -> None:
    assert [shown(line) for line in phase_bars(MEMORY, None, 24)] == ["text encode 11.0 GiB", "vae decode 16.0 GiB"]
    wide, narrow = bars_legend(MEMORY, 12 * GIB, 80), bars_legend(MEMORY, 12 * GIB, 24)
    assert len(wide) == 1
    assert len(narrow) > 1
    assert all(line_width(line) <= 24 for line in narrow)
    for legend in (wide, narrow):
        assert "free 12.0 GiB" in " ".join(shown(line) for line in legend)
    assert "slack" not in shown(wide[0]), "what no phase has is not explained"
    with_slack = replace(MEMORY, phases=(replace(MEMORY.phases[0], slack_bytes=GIB),))
    assert "slack" in shown(bars_legend(with_slack, None, 80)[0])


def test_everything_has_a_likeness_in_ascii() -> None:
    lines = [*memory_chart(steady(5, 10), 60.0, 47, 11), *phase_bars(MEMORY, 12 * GIB, 80), *bars_legend(MEMORY, 1, 80)]
    for line in lines:
        ascii_line = glyphs.to_ascii(shown(line))
        assert "?" not in ascii_line
        assert len(ascii_line) == len(shown(line))
