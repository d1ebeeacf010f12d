"""The terminal UI is there about as soon as Textual can be."""

from tests.benchmarks.startup import compare


def test_the_first_frame_takes_about_the_time_of_a_bare_textual_app() -> None:
    ours, bare, ratio = compare(5)
    assert ratio < 1.6, f"wan-tui {ours:.3f} s, a bare app {bare:.3f} s"
