"""The slider: its line at every width, and its keys."""

import pytest

from wan_tui.ui.text import line_width
from wan_tui.ui.widgets.slider import slider_line

VALUES = ("model's own", "256×256", "1280×720")


@pytest.mark.parametrize("width", [16, 30, 40, 80])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_every_line_has_exactly_the_width(width: int, at: int) -> None:
    assert line_width(slider_line("SIZE", VALUES, at, width, focused=False)) == width


def test_the_value_is_in_words_and_its_place_is_drawn_where_there_is_room() -> None:
    first, last = ("".join(s.text for s in slider_line("SIZE", VALUES, at, 60, focused=True)) for at in (0, 2))
    assert "‹ model's own ›" in first
    assert "1280×720" in last
    assert first.count("━") < last.count("━")
    assert "━" not in "".join(s.text for s in slider_line("SIZE", VALUES, 2, 30, focused=True))


def test_without_values_there_is_nothing_to_choose() -> None:
    assert "--" in "".join(span.text for span in slider_line("SIZE", (), 0, 40, focused=False))
