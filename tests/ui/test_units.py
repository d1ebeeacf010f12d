"""Figures as people read them."""

import math

import pytest

from wan_tui.core.units import format_bytes, format_change, format_gib, format_ratio, format_seconds

GIB = 1024**3


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "--"),
        (math.nan, "--"),
        (0, "0 B"),
        (1023, "1023 B"),
        (96 * 1024**2, "96.0 MiB"),
        (1024**2 - 1, "1.0 MiB"),
        (23.5 * GIB, "23.5 GiB"),
        (2 * 1024 * GIB, "2.0 TiB"),
        (-3.25 * GIB, "-3.2 GiB"),
    ],
)
def test_bytes_use_the_largest_unit_that_leaves_one_before_the_point(value: float | None, shown: str) -> None:
    assert format_bytes(value) == shown


def test_a_column_of_gib_has_bare_figures() -> None:
    assert [format_gib(value) for value in (None, 0, 5, 79.6 * GIB)] == ["--", "0.0", "<0.1", "79.6"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "--"),
        (math.inf, "--"),
        (-1, "--"),
        (0, "0 s"),
        (0.045, "45 ms"),
        (0.25, "0.25 s"),
        (0.999, "1.0 s"),
        (3.21, "3.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "01:00"),
        (245, "04:05"),
        (3599.7, "1 h 00 min"),
        (3725, "1 h 02 min"),
        (183_600, "2 d 03 h"),
        (86_399, "1 d 00 h"),
    ],
)
def test_seconds_keep_the_digits_that_matter(value: float | None, shown: str) -> None:
    assert format_seconds(value) == shown


def test_ratios_are_whole_percent() -> None:
    assert [format_ratio(value) for value in (None, 0.0, 0.98, 1.0)] == ["--", "0 %", "98 %", "100 %"]


def test_a_change_has_its_sign_and_needs_both_figures() -> None:
    assert format_change(4.06, 4.0) == "+1.5 %"
    assert format_change(3.0, 4.0) == "-25.0 %"
    assert format_change(None, 4.0) == format_change(4.0, None) == format_change(4.0, 0) == "--"
