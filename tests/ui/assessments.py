"""Answers of a planner, for a form."""

from dataclasses import replace

from tests import snapshots
from tests.snapshot_parts import GIB, time_estimate
from wan_tui.core.planning.plan import Clip, Remedy
from wan_tui.core.planning.questions import Assessment, Question
from wan_tui.core.words import Basis, Phase, Verdict

FEWER_FRAMES = Remedy(
    title="21 frames: peak 14.9 GiB on gpu:0",
    changes=(("defaults.frames", 21),),
    verdict=Verdict.TIGHT,
    headroom_bytes=GIB // 2,
)


def _clip(question: Question) -> Clip:
    return Clip(
        width=question.width or 832,
        height=question.height or 480,
        frames=question.frames or 81,
        steps=question.steps or 40,
        guidance=question.guidance or 4.0,
    )


def fits(question: Question) -> Assessment:
    """On an H100, with 8 GiB to spare and twelve runs behind the seconds."""
    story = snapshots.eight_gpus_one_lost().deployments[0]
    compatibility = replace(
        story.compatibility, headroom_bytes=8 * GIB, limiting_phase=Phase.DENOISE_HIGH_NOISE, verdict=Verdict.FITS
    )
    frames = question.frames or 81
    rounded = (f"frames {frames} rounded to 81 (clips have 4k+1 frames)",) if frames == 80 else ()
    return Assessment(
        compatibility=compatibility,
        model="t2v-A14B",
        profile="auto",
        where="gpu:0 NVIDIA H100 80GB HBM3",
        clip=_clip(question),
        time=replace(time_estimate(frames * 3.5, Basis.CALIBRATED), runs=12),
        load=time_estimate(41.0),
        notices=rounded,
    )


def fits_up_to_21_frames(question: Question) -> Assessment:
    """On an RTX 4080: more frames need what it does not have; fewer of them, or another profile, help."""
    if (question.frames or 81) <= 21:
        return fits(question)
    cinema = snapshots.incompatible().deployments[0]
    remedies = (FEWER_FRAMES, *cinema.compatibility.remedies)
    return Assessment(
        compatibility=replace(cinema.compatibility, remedies=remedies),
        model="t2v-A14B",
        profile="resident-bf16",
        where="gpu:0 NVIDIA GeForce RTX 4080",
        clip=_clip(question),
    )


def too_many_pixels(question: Question) -> Assessment:
    return replace(fits(question), refusal="size 4096x4096 is 16777216 pixels: t2v-A14B makes at most 921600")
