"""Estimates become good on a real engine within a few runs. The machine may be busy: nothing here is absolute."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from tests.benchmarks.calibration import measure, points, table
from tests.benchmarks.plot import Point, draw_estimates
from wan_tui.core.planning.plan import Bounds


@pytest.mark.slow
def test_after_five_runs_of_the_pocket_model_estimates_are_near_and_intervals_hold(home: Path) -> None:
    result = asyncio.run(measure(15, seed=3, home=home))
    assert [run.runs for run in result.runs[1:]] == list(range(14)), "every run is learnt from"
    assert result.median_error < 0.35, table(result)
    covered = result.covered.ratio
    assert covered is not None
    assert covered >= 0.5, table(result)
    draw_estimates(points(result), home / "plot.png", "title")
    with Image.open(home / "plot.png") as picture:
        assert picture.size == (900, 900)


def test_a_plot_shows_what_fell_outside_in_red(tmp_path: Path) -> None:
    inside, outside = Point(Bounds(0.5, 1.0, 2.0), 1.1, False), Point(Bounds(0.5, 1.0, 2.0), 4.0, False)
    for number, shown in ((0, [inside]), (1, [inside, outside])):
        draw_estimates(shown, tmp_path / "plot.png", "title")
        with Image.open(tmp_path / "plot.png") as picture:
            colours = picture.crop((0, 90, 900, 900)).getcolors(2**20) or []
        assert ((214, 39, 40) in {colour for _, colour in colours}) == bool(number)
