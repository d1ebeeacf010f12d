"""What becomes of a request before anything is computed for it."""

import dataclasses
from pathlib import Path

import pytest

from tests.core.runtime.harness import request
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.validation.request import check_output, normalise

POCKET = load_catalogue().find("t2v-pocket")
TI2V = load_catalogue().find("ti2v-pocket")


def test_a_good_request_stays_as_it_is() -> None:
    assert normalise(request(), POCKET) == (request(), ())


@pytest.mark.parametrize(
    ("given", "frames"), [(1, 1), (2, 1), (3, 5), (4, 5), (7, 9), (8, 9), (9, 9), (10, 9), (11, 13), (16, 17)]
)
def test_frames_are_rounded_to_the_nearest_4k_plus_1(given: int, frames: int) -> None:
    rounded, notices = normalise(request(frames=given), POCKET)
    assert rounded.frames == frames
    assert bool(notices) == (given != frames)


def test_sizes_are_rounded_to_the_multiple_with_a_notice_that_names_both() -> None:
    rounded, notices = normalise(request(width=70, height=1), POCKET)
    assert (rounded.width, rounded.height) == (64, 16)
    assert notices == (
        "width 70 rounded to 64 (t2v-pocket takes multiples of 16)",
        "height 1 rounded to 16 (t2v-pocket takes multiples of 16)",
    )
    assert normalise(request(width=72), POCKET)[0].width == 80
    assert normalise(request(width=720, height=704), load_catalogue().find("ti2v-5B"))[0].width == 736


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 0, "height": 0}, "width 0: must be at least 1"),
        ({"height": -16}, "height -16"),
        ({"frames": 0}, "frames 0"),
        ({"steps": 0}, "steps 0"),
        ({"steps": 5000}, "steps 5000: at most 1000"),
        ({"frames": 1001}, "frames 1001: t2v-pocket makes at most 81"),
        ({"width": 4096, "height": 4096}, "size 4096x4096"),
        ({"seed": -1}, "seed -1"),
        ({"guidance": float("nan")}, "guidance nan"),
        ({"guidance": -1.0}, "guidance -1.0"),
        ({"prompt": "  "}, "prompt is empty"),
        ({"image": "/nowhere.png"}, "takes only text"),
    ],
)
def test_what_no_rounding_can_mend_is_refused_with_the_value(change: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        normalise(request(**change), POCKET)
    assert says in str(refused.value)


def test_images_go_to_models_that_take_them(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.touch()
    assert normalise(request(image=str(picture)), TI2V)[0].image == str(picture)
    assert normalise(request(), TI2V)[0].image is None
    with pytest.raises(UsageError, match="no such file"):
        normalise(request(image=str(tmp_path / "other.png")), TI2V)
    with pytest.raises(UsageError, match="give an image"):
        normalise(request(), load_catalogue().find("i2v-pocket"))


def test_normalising_twice_changes_nothing_more() -> None:
    for width in range(1, 200, 7):
        for frames in range(1, 60, 5):
            once, _ = normalise(request(width=width, frames=frames), POCKET)
            assert normalise(once, POCKET) == (once, ())
            assert dataclasses.replace(once, width=width, frames=frames) == request(width=width, frames=frames)


def test_outputs_are_checked_before_the_work(tmp_path: Path) -> None:
    check_output(tmp_path / "new.mp4")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old.mp4").touch()
    for path, says in (
        (tmp_path / "old.mp4", "exists and is never overwritten"),
        (tmp_path / "none" / "new.mp4", "does not exist"),
        (Path("/proc/new.mp4"), "cannot write in /proc"),
        (tmp_path / ("x" * 300), "cannot write"),
    ):
        with pytest.raises(WanTuiError) as refused:
            check_output(path)
        assert says in str(refused.value)
