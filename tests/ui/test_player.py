"""A video in the terminal: pure playback, and the page that shows it."""

import base64

import pytest

from tests import snapshots
from tests.ui.conftest import Drive, Driver
from wan_tui.core.errors import WanTuiError
from wan_tui.core.reel import Reel
from wan_tui.ui.playback import Playback
from wan_tui.ui.screens.player import Player
from wan_tui.ui.widgets.preview import PreviewView

PATH = "/var/lib/wan/outputs/job-1.mp4"


def a_reel(frames: int, *, path: str = PATH, fps: float = 16.0) -> Reel:
    """Frames of 12 x 8 pixels, each of one colour that says its number."""
    pictures = tuple(base64.b64encode(bytes((number * 20 % 256, 0, 96)) * 96).decode() for number in range(frames))
    return Reel(
        path=path,
        source_width=96,
        source_height=64,
        fps=fps if frames > 1 else 0.0,
        total=frames * 4 - 3,
        stride=4,
        width=12,
        height=8,
        frames=pictures,
    )


def test_it_plays_to_the_end_and_pauses_there() -> None:
    at = Playback(3)
    assert [at := at.tick() for _ in range(4)] == [
        Playback(3, 1),
        Playback(3, 2),
        Playback(3, 2, playing=False),
        Playback(3, 2, playing=False),
    ]
    assert at.toggled() == Playback(3, 0), "from the end it begins again"


def test_a_pause_stays_where_it_is_and_a_step_pauses() -> None:
    at = Playback(5, 2)
    assert at.toggled() == Playback(5, 2, playing=False)
    assert at.toggled().tick() == at.toggled()
    assert at.toggled().toggled() == at
    assert at.stepped(1) == Playback(5, 3, playing=False)
    assert at.stepped(-9) == Playback(5, 0, playing=False)
    assert at.stepped(9) == Playback(5, 4, playing=False)


def test_frames_left_out_for_a_slow_link_never_are_the_last_one() -> None:
    at = Playback(6)
    assert [(at := at.tick(4)).at for _ in range(3)] == [4, 5, 5]
    assert not at.playing


def test_a_picture_does_not_play() -> None:
    assert Playback(1, playing=False).toggled() == Playback(1, playing=False)


async def opened(it: Driver, reel: Reel | None) -> Player:
    if reel is not None:
        it.client.reels[PATH] = reel
    await it.press("6", "j", "j", "v")
    player = it.app.screen
    assert isinstance(player, Player)
    await it.settle()
    return player


def colour_at(it: Driver) -> tuple[int, int, int]:
    """The upper colour of the middle of the picture."""
    view = it.app.screen.query_one("#player-picture", PreviewView)
    segment = next(one for one in view.render_line(view.size.height // 2 - 2) if one.text == "▀")
    assert segment.style is not None
    assert segment.style.color is not None
    return tuple(segment.style.color.get_truecolor())  # type: ignore[return-value]


async def test_space_pauses_and_arrows_step_through_the_frames(drive: Drive) -> None:
    for size in ((80, 24), (60, 20), (160, 48)):
        async with drive(snapshots.pocket_running(), size=size) as it:
            player = await opened(it, a_reel(9))
            await it.press("space", "home")
            assert "paused" in it.text("#player-foot")
            assert "frame  1/33" in it.text("#player-foot")
            assert "96×64" in it.text("#player-head")
            assert colour_at(it) == (0, 0, 96)
            await it.press("right", "right")
            assert player.playback == Playback(9, 2, playing=False)
            assert colour_at(it) == (40, 0, 96)
            assert "frame  9/33  0.5 s" in it.text("#player-foot")
            await it.press("left", "end", "right")
            assert "frame 33/33" in it.text("#player-foot")
            await it.press("escape")
            assert not isinstance(it.app.screen, Player)


async def test_it_plays_by_itself_at_a_reduced_rate(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        player = await opened(it, a_reel(60))
        assert "16 fps, shown 4.0" in it.text("#player-head")
        before = player.playback.at
        await it.pilot.pause(0.8)
        assert before < player.playback.at < 20
        assert player.playback.playing
        await it.press("space")
        it.take_sent()
        stopped = player.playback
        await it.pilot.pause(0.6)
        assert player.playback == stopped
        assert it.take_sent() == "", "a pause costs nothing"


async def test_on_a_slow_link_it_plays_fewer_frames_at_the_same_speed(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        it.app.choose_refresh(1.0, slow=True)
        await opened(it, a_reel(60))
        assert "16 fps, shown 1.0" in it.text("#player-head")


async def test_the_videos_of_one_job_are_seen_one_after_the_other(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        paths = ("/out/a-1.mp4", "/out/a-2.mp4")
        it.client.reels = {
            "/out/a-1.mp4": a_reel(9, path="/out/a-1.mp4"),
            "/out/a-2.mp4": a_reel(5, path="/out/a-2.mp4"),
        }
        it.app.push_screen(player := Player(paths, "job 7", it.app.session))
        await it.settle()
        assert "job 7, video 1 of 2" in it.text("#player-head")
        await it.press("n")
        await it.settle()
        assert "video 2 of 2" in it.text("#player-head")
        assert player.playback.number == 5
        await it.press("y")
        assert it.app.clipboard == "/out/a-2.mp4"
        await it.press("n", "p", "escape")
        assert not isinstance(it.app.screen, Player)


async def test_the_path_is_copied(drive: Drive) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await opened(it, a_reel(3))
        await it.press("y")
        assert it.app.clipboard == PATH


@pytest.mark.parametrize(
    "error",
    [
        WanTuiError(f"PyAV is not installed, so frames cannot be shown here: pip install 'x'; the file is at {PATH}"),
        WanTuiError("no agent answers at /run/wan.sock: Connection refused"),
    ],
)
async def test_what_cannot_be_played_says_why_and_the_path_can_still_be_copied(drive: Drive, error: Exception) -> None:
    async with drive(snapshots.pocket_running()) as it:
        await it.press("6", "j", "j")
        it.client.refusal = error
        await it.press("v")
        assert str(error) in " ".join(it.text("#player-foot").split())
        await it.press("y", "space", "right", "escape")
        assert it.app.clipboard == PATH


async def test_without_colour_brightness_shows_it(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with drive(snapshots.pocket_running(), ascii_only=True) as it:
        await opened(it, a_reel(9))
        await it.press("space", "end")
        assert it.screen_text().isascii()
        view = it.app.screen.query_one("#player-picture", PreviewView)
        assert "...." in view.render_line(view.size.height // 2 - 2).text
