"""Plots in lines of text: to scale, labelled, in the width asked for, with and without Unicode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_tui.core.units import format_seconds
from wan_tui.ui.plot import SECONDS, Canvas, Point, Scale, plot, scale_of
from wan_tui.ui.text import Line, Role, line_width


def drawn(lines: list[Line]) -> list[str]:
    return ["".join(span.text for span in line) for line in lines]


def square(points: list[Point], width: int = 44, height: int = 15, **options: bool) -> list[Line]:
    scale = scale_of([value for point in points for value in (point.x, point.y)], candidates=SECONDS)
    titles = {"x_title": "estimated", "y_title": "observed"}
    labels = {"x_label": format_seconds, "y_label": format_seconds}
    return plot(points, width, height, x=scale, y=scale, **titles, **labels, **options)  # type: ignore[arg-type]


def test_a_plot_in_ascii_has_axes_labels_points_and_the_diagonal() -> None:
    points = [Point(2, 2), Point(10, 14), Point(60, 55), Point(300, 310)]
    assert drawn(square(points, diagonal=True, ascii_only=True)) == [
        "      observed                              ",
        "      |                                  .oo",
        "03:00 |                               ..    ",
        "      |                            ..       ",
        "      |                         ..          ",
        "      |                      ..oo           ",
        " 30 s |                   ..                ",
        "      |                . .                  ",
        "      |            o. .                     ",
        "      |          . .                        ",
        "      |      .. .                           ",
        "3.0 s |   ..                                ",
        "      |.o                                   ",
        "      +-------------------------------------",
        "         3.0 s          30 s       estimated",
    ]


def test_a_point_above_the_diagonal_took_longer_than_estimated() -> None:
    def first_row_with_a_point(estimated: float, observed: float) -> int:
        lines = plot(
            [Point(estimated, observed)],
            40,
            20,
            x=Scale(0.0, 100.0),
            y=Scale(0.0, 100.0),
            x_title="x",
            y_title="y",
            x_label=str,
            y_label=str,
            ascii_only=True,
        )
        return next(row for row, line in enumerate(drawn(lines)[1:]) if "o" in line)

    assert first_row_with_a_point(50, 90) < first_row_with_a_point(50, 50) < first_row_with_a_point(50, 10)


def test_equal_values_lie_on_the_dotted_diagonal() -> None:
    """Drawing points where x is y covers the diagonal: no other cell is touched by them."""
    points = [Point(value, value) for value in (1.0, 5.0, 9.0)]
    scale = Scale(0.0, 10.0)
    canvas = Canvas(20, 10)
    for point in points:
        x, y = round(scale.place(point.x) * (canvas.width - 1)), round((1 - scale.place(point.y)) * (canvas.height - 1))
        canvas.blob(x, y, Role.ACCENT)
    for row in range(10):
        cells = "".join(span.text for span in canvas.line(row))
        for column, cell in enumerate(cells):
            if cell != " ":
                assert abs((column + 0.5) / 20 - (1 - (row + 0.5) / 10)) < 0.15


@given(
    values=st.lists(st.floats(0.001, 1e6), min_size=1, max_size=30),
    width=st.integers(0, 120),
    height=st.integers(0, 40),
    ascii_only=st.booleans(),
)
def test_every_line_has_the_width_asked_for(values: list[float], width: int, height: int, ascii_only: bool) -> None:
    points = [Point(value, value * 1.1) for value in values]
    lines = square(points, width, height, diagonal=True, ascii_only=ascii_only)
    assert len(lines) in (0, height)
    assert all(line_width(line) == width for line in lines)


def test_values_of_several_magnitudes_get_a_logarithm_and_labels_that_people_say() -> None:
    scale = scale_of([2.0, 2000.0], candidates=SECONDS)
    assert scale.logarithmic
    assert [format_seconds(tick) for tick in scale.ticks(9)] == [
        *("3.0 s", "10 s", "30 s", "01:00", "03:00", "10:00", "30:00"),
    ]
    assert len(scale.ticks(3)) <= 3
    assert not scale_of([10.0, 30.0]).logarithmic


@pytest.mark.parametrize("values", [[], [5.0], [0.0, 0.0], [3.0, 3.0000001]])
def test_few_or_equal_values_still_have_a_scale(values: list[float]) -> None:
    scale = scale_of(values)
    assert scale.low < scale.high
    assert all(0 <= scale.place(value) <= 1 for value in values)


def test_linear_ticks_are_round() -> None:
    assert Scale(0.0, 10.3).ticks(5) == [0.0, 5.0, 10.0]
    assert [f"{tick:g}" for tick in Scale(3.7, 4.3).ticks(4)] == ["3.8", "4", "4.2"]
