"""The predictors stay as close to published runs as they are.

Levels are what was reached, plus a small margin: a change that makes an estimate worse has to say so here.
"""

import json
import re

import pytest

from tests.benchmarks.estimates import BAR, coverage, main, report
from tests.benchmarks.published import DATA, published_rows

REPORTS = {quantity: report(quantity) for quantity in BAR}

# (median, p90) of the absolute error in per cent.
LEVELS = {
    "seconds": {
        "nothing fitted": (12, 42),
        "fitted in sample": (7, 37),
        "a row left out": (9, 43),
        "a source left out": (12, 46),
        "a repository left out": (13, 48),
    },
    "memory": {
        "nothing fitted": (9, 42),
        "fitted in sample": (5, 23),
        "a row left out": (6, 30),
        "a source left out": (6, 30),
        "a repository left out": (6, 36),
    },
}


@pytest.mark.parametrize(
    ("quantity", "way"), [(quantity, way) for quantity, levels in LEVELS.items() for way in levels]
)
def test_the_achieved_level_holds(quantity: str, way: str) -> None:
    score = REPORTS[quantity].score(way)
    median, p90 = LEVELS[quantity][way]
    assert score.median <= median, score
    assert score.p90 <= p90, score


@pytest.mark.parametrize(
    ("quantity", "way", "median"),
    [
        (quantity, way, bar[0])
        for quantity, rows in BAR.items()
        for _, way, bar in rows
        # Engines that fill the card in blocks keep the in-sample memory above the bar.
        if (quantity, way) != ("memory", "fitted in sample")
    ],
)
def test_simple_models_are_beaten(quantity: str, way: str, median: float) -> None:
    assert REPORTS[quantity].score(way).median < median


def test_no_row_is_left_out_without_a_reason() -> None:
    """A time needs a card that is named; a peak must not be a share of the card that was filled on purpose."""
    rows = json.loads(DATA.read_text())["rows"]
    timed = [row for row in rows if (row["seconds_total"] or row["seconds_per_step"]) and row["gpu"] != "unknown"]
    peaked = [row for row in rows if row["peak_vram_gb"] and "percent" not in (row["vram_scope"] or "")]
    assert REPORTS["seconds"].score("nothing fitted").rows == len(timed)
    assert REPORTS["memory"].score("nothing fitted").rows == len(peaked)


def test_every_diffusers_time_is_close_with_nothing_fitted() -> None:
    for comparison in REPORTS["seconds"].diffusers:
        assert abs(comparison.error) < 0.22, comparison.row.id


def test_intervals_hold_nine_in_ten() -> None:
    inside, known = coverage()
    assert known > 50
    assert inside >= 0.9 * known


def test_every_row_says_where_it_is_from() -> None:
    for row in json.loads(DATA.read_text())["rows"]:
        assert row["source_url"].startswith(("https://", "public GitHub doc")), row["id"]
        assert re.search(r"\d", row["quote"]), row["id"]
    assert len({row.id for row in published_rows()}) == len(published_rows())


def test_the_command_prints_tables_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["seconds"]["scores"]["nothing fitted"]["rows"] > 100
    main([])
    printed = capsys.readouterr().out
    for expected in ("to beat", "diffusers, nothing fitted", "m223", "wan-official-2.2"):
        assert expected in printed
