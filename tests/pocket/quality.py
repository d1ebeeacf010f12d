"""Measures what every execution option that a processor can run costs the pocket model, into the catalogue.

    python -m tests.pocket.quality [--prompts 24] [--write]

Each prompt is drawn with each option and the same seed by the worker's own loading and generating; the judge says
whether it is what was asked for, and the frames are held against those of plain fp32.
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.pocket.evaluate import PARTS, right_parts, subjects
from tests.worker.runs import MODEL, load, made, psnr
from wan_tui.core.catalog import quality
from wan_tui.core.pocket_judge import judge
from wan_tui.core.words import OffloadMode, Precision, Quantization, StepCache
from wan_tui.worker.load import LoadedModel

FILE = Path(quality.__file__).with_name("quality.toml")
FRAMES, STEPS = 9, 12
_BF16 = {"precision": Precision.BF16}
_TILE, _STRIDE = 32, 24  # pixels: the product's tiles are larger than the clip


def _small_tiles(loaded: LoadedModel) -> None:
    loaded.pipeline.vae.enable_tiling(_TILE, _TILE, _STRIDE, _STRIDE)


@dataclass(frozen=True)
class Option:
    option: str
    value: str
    changes: dict[str, Any]
    steps: int = STEPS
    after_load: Callable[[LoadedModel], None] = lambda loaded: None


OPTIONS = (
    Option("precision", "bf16", _BF16),
    Option("precision", "fp16", {"precision": Precision.FP16}),
    *(
        Option("quantization", str(kind), {**_BF16, "quantization": kind})
        for kind in (Quantization.FP8, Quantization.INT8, Quantization.INT4)
    ),
    Option("vae_precision", "bf16", {"vae_precision": Precision.BF16}),
    Option("offload", "group_leaf", {"offload": OffloadMode.GROUP_LEAF}),
    Option("vae_tiling", "true", {"vae_tiling": True}, after_load=_small_tiles),
    *(
        Option("cache", str(cache), {"cache": cache})
        for cache in (StepCache.FIRST_BLOCK, StepCache.MAG, StepCache.TAYLOR_SEER)
    ),
    *(Option("steps", str(steps), {}, steps=steps) for steps in (4, 6, 8, 20)),
)


def drawn(cache: Path, option: Option | None, count: int) -> tuple[list[np.ndarray], float]:
    """The frames of every prompt, and the share of them that shows what it says."""
    loaded = load(cache, **(option.changes if option else {}))
    if option:
        option.after_load(loaded)
    frames, right = [], 0
    for number, (clip, prompt) in enumerate(subjects(count)):
        steps = option.steps if option else STEPS
        video = made(loaded, prompt=prompt, frames=FRAMES, steps=steps, seed=number, guidance=MODEL.default_guidance)
        right += len(right_parts(judge(video), clip)) == len(PARTS)
        frames.append(video)
    return frames, right / count


def measure(count: int, options: Iterable[Option] = OPTIONS) -> str:
    """The data file."""
    lines = [
        "# What execution options cost in quality, by `python -m tests.pocket.quality --write`: the share of prompts",
        "# of which shape, colour, motion and background are drawn as asked, and the median peak signal-to-noise ratio",
        "# in dB against plain fp32 with the same seeds (none: equal bit for bit).",
        f"# Clips of {FRAMES} frames at 64x64 in {STEPS} steps; tiles of {_TILE} pixels, as usual ones hold it whole.",
        f'made_with = {{ torch = "{version("torch").split("+")[0]}", diffusers = "{version("diffusers")}" }}',
        f'model = "{MODEL.id}"',
        f"prompts = {count}",
    ]
    with tempfile.TemporaryDirectory() as cache:
        plain, right = drawn(Path(cache), None, count)
        lines.append(f"plain_right_ratio = {right:.3f}")
        for option in options:
            frames, right = drawn(Path(cache), option, count)
            found = statistics.median(psnr(one, other) for one, other in zip(frames, plain, strict=True))
            lines += ["", "[[options]]", f'option = "{option.option}"', f'value = "{option.value}"']
            lines += [f"right_ratio = {right:.3f}"] + ([] if found == math.inf else [f"psnr_db = {found:.1f}"])
            print(f"{option.option} {option.value}: {right:.3f} right, {found:.1f} dB", flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--write", action="store_true", help="into the catalogue")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = measure(options.prompts)
    if options.write:
        FILE.write_text(text)


if __name__ == "__main__":
    main()
