"""Videos and pictures as small frames: bounded, in the right colours, and with a clear word when it cannot be."""

import base64
import builtins
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from wan_tui.core import reel as reel_module
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.reel import MAX_SIDE, Reel, read_reel
from wan_tui.core.video import write_mp4


def video(path: Path, frames: int, width: int = 96, height: int = 64, fps: int = 16) -> Path:
    """The left half red and the right half blue, brighter from frame to frame."""
    pictures = np.zeros((frames, height, width, 3), dtype=np.uint8)
    for number in range(frames):
        pictures[number, :, : width // 2, 0] = 55 + 200 * number // frames
        pictures[number, :, width // 2 :, 2] = 55 + 200 * number // frames
    return write_mp4(path, pictures, fps, {}, lambda: None)


def pixels(reel: Reel, frame: int) -> np.ndarray[Any, Any]:
    data = np.frombuffer(base64.b64decode(reel.frames[frame]), dtype=np.uint8)
    return data.reshape(reel.height, reel.width, 3)


def test_frames_come_at_a_reduced_rate_in_the_room_there_is(tmp_path: Path) -> None:
    reel = read_reel(video(tmp_path / "clip.mp4", 33), width=30, height=30)
    assert (reel.source_width, reel.source_height, reel.total, reel.fps) == (96, 64, 33, 16.0)
    assert (reel.width, reel.height) == (30, 20), "its own proportions"
    assert (reel.stride, len(reel.frames)) == (4, 9)
    assert reel.seconds_apart == 0.25
    first, last = pixels(reel, 0), pixels(reel, 8)
    assert first[10, 3, 0] > first[10, 3, 2] + 20, "red at the left"
    assert first[10, 26, 2] > first[10, 26, 0] + 20, "blue at the right"
    assert last[10, 3, 0] > first[10, 3, 0] + 100, "in order"


def test_a_long_video_is_thinned_out_until_it_is_small_enough(tmp_path: Path) -> None:
    reel = read_reel(video(tmp_path / "clip.mp4", 81), width=24, height=16, most=10, fps=16)
    assert len(reel.frames) <= 10
    assert reel.stride == 9
    wide = read_reel(tmp_path / "clip.mp4", width=10_000, height=10_000)
    assert max(wide.width, wide.height) == MAX_SIDE


def test_of_a_film_the_beginning_is_shown_and_a_huge_picture_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = video(tmp_path / "film.mp4", 33)
    monkeypatch.setattr(reel_module, "MAX_DECODED_FRAMES", 10)
    assert read_reel(path, width=30, height=30).total == 10
    monkeypatch.setattr(reel_module, "MAX_SOURCE_PIXELS", 96 * 64 - 1)
    with pytest.raises(UsageError, match="96x64 is too large to be shown here"):
        read_reel(path, width=30, height=30)


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "start.png"
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 40, 20, "rgb24"
        picture = np.zeros((20, 40, 3), dtype=np.uint8)
        picture[:10] = (0, 255, 0)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    reel = read_reel(path, width=20, height=20)
    assert (len(reel.frames), reel.total, reel.fps, reel.seconds_apart) == (1, 1, 0.0, 0.0)
    assert tuple(pixels(reel, 0)[2, 10]) == (0, 255, 0)
    assert tuple(pixels(reel, 0)[8, 10]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("clip.mp4", b"not a video at all", "not a video or picture that can be read"),
        ("clip.mp4", b"", "not a video or picture that can be read"),
        ("gone.mp4", None, "no such file"),
    ],
)
def test_what_is_no_video_is_one_line(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=said) as raised:
        read_reel(tmp_path / name, width=20, height=20)
    assert "\n" not in str(raised.value)


def test_a_video_that_was_cut_off_shows_what_is_there_or_says_so(tmp_path: Path) -> None:
    whole = video(tmp_path / "whole.mp4", 33).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="not a video"):
        read_reel(tmp_path / "cut.mp4", width=20, height=20)


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(UsageError, match="absolute"):
        read_reel(Path("clip.mp4"), width=20, height=20)


def test_without_pyav_it_says_what_to_install_and_where_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = video(tmp_path / "clip.mp4", 5)
    real = builtins.__import__

    def without_av(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "av":
            raise ImportError("No module named 'av'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(WanTuiError, match=r"PyAV is not installed.*pip install 'wan-tui\[inference\]'") as raised:
        read_reel(path, width=20, height=20)
    assert str(path) in str(raised.value)
