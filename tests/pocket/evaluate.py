"""How often the pocket models do what their prompt says: a table by the judge, and a contact sheet.

python -m tests.pocket.evaluate t2v-pocket [--prompts 120] [--frames 9] [--steps 12] [--sheet FILE.png]
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from PIL import Image

from tests.pocket import world
from tests.worker.runs import psnr
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.pocket_judge import Seen, judge
from wan_tui.worker.pocket import ensure_pocket

# Training draws its captions from other seeds (tests/pocket/transformer.py: seed * 10**6 + step).
SEED = 20_261_124
# A first frame without the shape, or with it elsewhere, is below 17 dB of the given one.
SAME_PICTURE_DB = 20.0
PARTS = Seen.__slots__
Video = np.ndarray[Any, np.dtype[np.uint8]]


def pipeline(model: str, cache: Path, *, with_picture: bool = False) -> Any:
    """By diffusers alone, in fp32."""
    entry = load_catalogue().find(model)
    made = WanImageToVideoPipeline if entry.task.needs_image or with_picture else WanPipeline
    absent = {"image_encoder": None, "image_processor": None} if made is WanImageToVideoPipeline else {}
    loaded = made.from_pretrained(ensure_pocket(entry, cache), torch_dtype=torch.float32, **absent)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def subjects(count: int) -> list[tuple[world.Clip, str]]:
    """Combinations without repetition as far as they go, each with one wording."""
    dice, everything = random.Random(SEED), world.combinations()
    chosen = [clip for _ in range(-(-count // len(everything))) for clip in dice.sample(everything, len(everything))]
    return [(world.placed(clip, dice), world.caption(clip, dice)) for clip in chosen[:count]]


def first_frame(clip: world.Clip) -> Image.Image:
    return Image.fromarray(world.pictures([clip], 1)[0, 0])


def right_parts(seen: Seen, clip: world.Clip) -> list[str]:
    """Which of shape, colour, motion and background are as asked."""
    return [part for part in PARTS if getattr(seen, part) == getattr(clip, part)]


def generate(
    loaded: Any, prompt: str, seed: int, *, frames: int, steps: int, guidance: float, image: Any = None
) -> Video:
    given = {} if image is None else {"image": image}
    found = loaded(
        prompt=prompt,
        negative_prompt="",
        **given,
        width=world.SIZE,
        height=world.SIZE,
        num_frames=frames,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator("cpu").manual_seed(seed),
        output_type="np",
    ).frames[0]
    made: Video = (found * 255).round().astype(np.uint8)
    return made


def evaluate(
    loaded: Any, count: int, *, frames: int, steps: int, guidance: float, with_picture: bool
) -> tuple[dict[str, float], list[tuple[str, Seen, Video]]]:
    """The share that is right, by part, for "all" and for the first frame; and each prompt with what was seen."""
    right: Counter[str] = Counter()
    made = []
    for number, (clip, prompt) in enumerate(subjects(count)):
        image = first_frame(clip) if with_picture else None
        video = generate(loaded, prompt, number, frames=frames, steps=steps, guidance=guidance, image=image)
        seen = judge(video)
        parts = right_parts(seen, clip)
        right.update(parts)
        right["all"] += len(parts) == len(PARTS)
        if image is not None:
            right["first frame"] += psnr(video[0], np.asarray(image)) >= SAME_PICTURE_DB
        made.append((prompt, seen, video))
    told = (*PARTS, "all", *(("first frame",) if with_picture else ()))
    return {part: right[part] / count for part in told}, made


def sheet(made: list[tuple[str, Seen, Video]], file: Path, columns: int = 4) -> None:
    """Five frames of each clip in a row, ``columns`` clips beside each other."""
    strips = [
        np.concatenate(list(video[np.linspace(0, len(video) - 1, 5).astype(int)]), axis=1) for _, _, video in made
    ]
    while len(strips) % columns:
        strips.append(np.zeros_like(strips[0]))
    rows = [np.concatenate(strips[start : start + columns], axis=1) for start in range(0, len(strips), columns)]
    Image.fromarray(np.concatenate(rows)).save(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=("t2v-pocket", "i2v-pocket", "ti2v-pocket"))
    parser.add_argument("--prompts", type=int, default=120)
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--picture", action="store_true", help="give ti2v-pocket the first frame")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    entry = load_catalogue().find(options.model)
    guidance = entry.default_guidance if options.guidance is None else options.guidance
    picture = options.picture or entry.task.needs_image
    with tempfile.TemporaryDirectory() as cache:
        loaded = pipeline(options.model, Path(cache), with_picture=picture)
        began = time.perf_counter()
        scores, made = evaluate(
            loaded,
            options.prompts,
            frames=options.frames,
            steps=options.steps,
            guidance=guidance,
            with_picture=picture,
        )
        each = (time.perf_counter() - began) / options.prompts
    print(f"{options.model} {options.frames} frames, {options.steps} steps, guidance {guidance}: {each:.2f} s a clip")
    print("  ".join(f"{part} {share:.3f}" for part, share in scores.items()))
    wrong = [
        (prompt, seen)
        for (prompt, seen, _), (clip, _) in zip(made, subjects(options.prompts), strict=True)
        if len(right_parts(seen, clip)) < len(PARTS)
    ]
    for prompt, seen in wrong:
        print(f"  {prompt!r}: {seen}")
    if options.sheet:
        sheet(made, options.sheet)


if __name__ == "__main__":
    main()
