"""The live estimate of the form: what it says in the room there is, and when it refuses."""

from dataclasses import replace

import pytest

from tests.ui.assessments import FEWER_FRAMES, fits, fits_up_to_21_frames, too_many_pixels
from wan_tui.core.planning.questions import Assessment, Question
from wan_tui.core.words import Verdict
from wan_tui.ui.format_estimate import estimate, form_remedy, refusal
from wan_tui.ui.text import line_width

ASKED = Question(deployment="story", width=832, height=480, frames=81, steps=40)


def said(found: Assessment, width: int = 80, room: int = 3) -> list[str]:
    return ["".join(span.text for span in line) for line in estimate(found, width, room)]


def test_three_lines_say_verdict_memory_and_seconds() -> None:
    assert said(fits(ASKED)) == [
        "fits  gpu:0 · bf16 · everything resident",
        "peak 70.9 GiB of 78.9 GiB free  in denoise high noise  modelled",
        "about 04:44  04:15 to 05:40  calibrated (12 runs)  + load 41 s",
    ]


def test_with_room_every_phase_has_a_bar_against_what_is_free() -> None:
    lines = said(fits(ASKED), room=8)
    assert lines[2] == "GiB of 78.9 free  modelled"
    bars = [line for line in lines if "━" in line]
    assert [line.split("  ")[0].split("━")[0].strip() for line in bars] == [
        *("text encode", "denoise high noise", "denoise low noise", "vae decode"),
    ]
    assert bars[1].endswith("70.9 peak")
    assert bars[1].count("━") > bars[0].count("━")


def test_what_cannot_fit_is_refused_with_what_would_help() -> None:
    found = fits_up_to_21_frames(ASKED)
    lines = said(found, room=4)
    assert lines[0] == "✗ incompatible: needs 70.9 GiB at the peak, GPU 0 has 15.6 GiB: short by 55.3"
    assert lines[2] == "fix 21 frames: peak 14.9 GiB on gpu:0  ctrl+g does it"
    assert lines[3].startswith("fix profile rtx-4080")
    assert refusal(found) == (
        "needs 70.9 GiB at the peak, GPU 0 has 15.6 GiB: short by 55.3 GiB; fix: 21 frames: peak 14.9 GiB on gpu:0"
    )


def test_a_shape_that_no_device_makes_is_refused_too() -> None:
    assert said(too_many_pixels(ASKED))[0].startswith("✗ refused: size 4096x4096 is 16777216 pixels")
    assert refusal(too_many_pixels(ASKED)) is not None


@pytest.mark.parametrize("verdict", [Verdict.FITS, Verdict.TIGHT, Verdict.OFFLOAD_REQUIRED, Verdict.UNKNOWN])
def test_whatever_may_run_is_not_refused(verdict: Verdict) -> None:
    found = fits(ASKED)
    assert refusal(replace(found, compatibility=replace(found.compatibility, verdict=verdict))) is None


def test_only_a_remedy_of_the_form_is_what_the_key_does() -> None:
    found = fits_up_to_21_frames(ASKED)
    assert form_remedy(found) == {"frames": "21"}
    elsewhere = tuple(remedy for remedy in found.compatibility.remedies if remedy is not FEWER_FRAMES)
    assert form_remedy(replace(found, compatibility=replace(found.compatibility, remedies=elsewhere))) == {}
    mixed = replace(FEWER_FRAMES, changes=(("defaults.frames", 21), ("profile", "low-vram")))
    assert form_remedy(replace(found, compatibility=replace(found.compatibility, remedies=(mixed,)))) == {}
    assert form_remedy(None) == {}


@pytest.mark.parametrize("width", [40, 55, 80])
@pytest.mark.parametrize("room", [1, 3, 6, 9])
@pytest.mark.parametrize("answer", [fits, fits_up_to_21_frames, too_many_pixels])
def test_it_keeps_to_the_room_there_is(answer: object, room: int, width: int) -> None:
    lines = estimate(answer(ASKED), width, room)  # type: ignore[operator]
    assert 1 <= len(lines) <= room
    assert all(line_width(line) <= width for line in lines)


def test_what_will_be_rounded_is_said() -> None:
    assert "note: frames 80 rounded to 81 (clips have 4k+1 frames)" in said(fits(replace(ASKED, frames=80)), room=5)
