"""Finished loads and runs as a page of the history has them, for screens and their pictures."""

import math

from tests.snapshot_parts import AT, request
from wan_tui.core.planning.plan import Clip
from wan_tui.core.runtime.past import PastFigure, PastRun

_SHARES = (
    ("text_encode", 0.02),
    ("denoise_high_noise", 0.5),
    ("denoise_low_noise", 0.4),
    ("vae_decode", 0.07),
    ("write_output", 0.01),
)
_SHAPES = ((832, 480, 81, 40, 240.0), (832, 480, 41, 40, 118.0), (1280, 704, 81, 50, 780.0), (480, 256, 33, 20, 16.0))


def past_run(number: int, *, estimated: float = 100.0, observed: float | None = None, **changes: object) -> PastRun:
    """The ``number``-th run before the newest; ``observed`` seconds wander a little around ``estimated``."""
    took = estimated * (1 + 0.09 * math.sin(number * 2.4) + 0.0015 * number) if observed is None else observed
    width, height, frames, steps, _ = _SHAPES[number % len(_SHAPES)]
    prompt = f"a red fox runs through fresh snow, take {number}"
    figures = (
        PastFigure(
            stage="total", unit="seconds", low=estimated * 0.9, expected=estimated, high=estimated * 1.12, observed=took
        ),
        *(
            PastFigure(stage=stage, unit="seconds", expected=estimated * share, observed=took * share)
            for stage, share in _SHARES
        ),
        PastFigure(
            stage="vae_decode", unit="bytes", low=20e9, expected=22e9, high=24e9, modelled=21e9, observed=21.5e9
        ),
    )
    values: dict[str, object] = {
        "uid": f"run-{number}",
        "ended_at": AT - 1800.0 * number,
        "kind": "run",
        "deployment": "story",
        "model": "t2v-A14B",
        "device": "NVIDIA H100 80GB HBM3 80 GiB",
        "plan": "bf16 none",
        "first": number % 7 == 0,
        "counts": True,
        "basis": "calibrated",
        "runs": 12,
        "driver": "570.86.15",
        "torch": "2.13.0",
        "diffusers": "0.42.1",
        "clip": Clip(width=width, height=height, frames=frames, steps=steps, guidance=4.0),
        "request": request("story", prompt, width, height, frames, steps),
        "figures": figures,
    }
    return PastRun(**{**values, **changes})  # type: ignore[arg-type]


def past_load(number: int, seconds: float = 41.0) -> PastRun:
    figures = (
        PastFigure(stage="total", unit="seconds", low=20.0, expected=38.0, high=70.0, observed=seconds),
        PastFigure(stage="transformer", unit="seconds", observed=seconds * 0.7),
        PastFigure(stage="vae", unit="seconds", observed=seconds * 0.1),
    )
    return past_run(number, uid=f"load-{number}", kind="load", clip=None, request=None, figures=figures, runs=3)


def _estimated(number: int) -> float:
    """Estimates of one shape move a little while they are calibrated."""
    return _SHAPES[number % len(_SHAPES)][4] * (1 + 0.15 * math.sin(number * number))


def a_week() -> list[PastRun]:
    """Runs of four shapes, newest first, with a load every tenth, one far off and one that was never estimated."""
    runs = [
        past_load(number) if number % 10 == 9 else past_run(number, estimated=_estimated(number))
        for number in range(60)
    ]
    runs[5] = past_run(5, estimated=118.0, observed=230.0)
    runs[6] = past_run(6, basis=None, runs=0, figures=(PastFigure(stage="total", unit="seconds", observed=700.0),))
    return runs
