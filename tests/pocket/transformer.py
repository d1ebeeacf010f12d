"""Trains a transformer of the pocket models on encoded clips, on one thread.

    python -m tests.pocket.transformer t2v FOLDER [--steps N] [--seed N]

``t2v`` learns with the text encoder from nothing. ``t2v-high`` and ``t2v-low`` are experts: they go on from it with the
text encoder frozen, each on its side of the boundary; ``i2v-high`` and ``i2v-low`` go on from those. ``ti2v`` learns
from nothing with that text encoder.
Goes on from FOLDER/NAME.pt when it is called again.

The loss is the mean square error of the velocity, noise minus clip, at sigmas spread as the sampler's (flow shift 3 for
t2v and i2v, 5 for ti2v).
"""

import argparse
import copy
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel

from tests.pocket import world
from tests.pocket.muon import optimizers
from tests.pocket.text import PADDED, PaddedCrossAttention, Prompts
from wan_tui.core.catalog import Model, load_catalogue

EMA = 0.998


@dataclass(frozen=True)
class Recipe:
    """What one network of ``model`` learns from: ``low`` and ``high`` bound its sigmas.

    ``base`` is the recipe whose text encoder it reads with, frozen, and from whose network it goes on unless ``fresh``.
    """

    model: str
    low: float = 0.0
    high: float = 1.0
    base: str | None = None
    fresh: bool = False
    picture: str | None = None  # "channels": as i2v-A14B takes it; "tokens": as ti2v-5B does

    @property
    def entry(self) -> Model:
        return load_catalogue().find(self.model)


RECIPES = {
    "t2v": Recipe("t2v-pocket"),
    "t2v-high": Recipe("t2v-pocket", low=0.86, base="t2v"),
    "t2v-low": Recipe("t2v-pocket", high=0.89, base="t2v"),
    "i2v-high": Recipe("i2v-pocket", low=0.885, base="t2v-high", picture="channels"),
    "i2v-low": Recipe("i2v-pocket", high=0.915, base="t2v-low", picture="channels"),
    "ti2v": Recipe("ti2v-pocket", base="t2v", fresh=True, picture="tokens"),
}


def network(recipe: Recipe) -> WanTransformer3DModel:
    return WanTransformer3DModel(**recipe.entry.transformer.config)


def take_over(network: WanTransformer3DModel, weights: dict[str, torch.Tensor]) -> None:
    """Go on from ``weights``; channels that they do not have begin at zero."""
    wanted, found = network.patch_embedding.weight, weights["patch_embedding.weight"]
    if wanted.shape != found.shape:
        wider = torch.zeros_like(wanted)
        wider[:, : found.shape[1]] = found
        weights = {**weights, "patch_embedding.weight": wider}
    network.load_state_dict(weights)


class Data:
    """Encoded clips in memory, drawn with fresh captions."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        kept = torch.load(folder / f"{recipe.entry.vae.name}-latents.pt", weights_only=False)
        self.clips, self.latents, self.conditions = kept["clips"], kept["latents"], kept.get("conditions")
        self.recipe = recipe

    def draw(self, count: int, frames: int, dice: random.Random) -> tuple[torch.Tensor, list[str], torch.Tensor | None]:
        chosen = [dice.randrange(len(self.clips)) for _ in range(count)]
        condition = None
        if self.recipe.picture == "channels":
            assert self.conditions is not None
            encoded = self.conditions[chosen, :, :frames].float()
            mask = torch.zeros(count, 4, *encoded.shape[2:])
            mask[:, :, 0] = 1
            condition = torch.cat((mask, encoded), 1)
        return (
            self.latents[chosen, :, :frames].float(),
            [_said(self.clips[index], dice) for index in chosen],
            condition,
        )


def _said(clip: world.Clip, dice: random.Random) -> str:
    """Mostly a caption; sometimes nothing, or words without meaning, so that any negative prompt is neutral."""
    if dice.random() >= 0.12:
        return world.caption(clip, dice)
    return "" if dice.random() < 0.6 else " ".join(["qq"] * dice.randint(1, 12))


def sigmas(recipe: Recipe, count: int, noise: torch.Generator) -> torch.Tensor:
    """Stratified, spread as the sampler's under the flow shift, between the bounds of the recipe."""
    shift = recipe.entry.flow_shift
    ends = [s / (shift - (shift - 1) * s) for s in (recipe.low, recipe.high)]
    u = (torch.arange(count) + torch.rand(count, generator=noise)) / count
    u = (ends[0] + (ends[1] - ends[0]) * u)[torch.randperm(count, generator=noise)]
    return (shift * u / (1 + (shift - 1) * u)).clamp(1e-3, 1.0)


def loss_of(
    network: Any,
    recipe: Recipe,
    clean: torch.Tensor,
    text: torch.Tensor,
    condition: torch.Tensor | None,
    with_picture: bool,
    random_numbers: torch.Generator,
) -> torch.Tensor:
    count, _, frames, height, width = clean.shape
    sigma = sigmas(recipe, count, random_numbers)
    noise = torch.randn(clean.shape, generator=random_numbers)
    spread = sigma[:, None, None, None, None]
    noisy = (1 - spread) * clean + spread * noise
    timestep, kept = 1000 * sigma, slice(0, None)
    if recipe.picture == "tokens":
        per_frame = height * width // 4
        timestep = timestep[:, None].repeat(1, frames * per_frame)
        if with_picture:
            noisy[:, :, 0], kept = clean[:, :, 0], slice(1, None)
            timestep[:, :per_frame] = 0
    given = noisy if condition is None else torch.cat((noisy, condition), 1)
    found = network(given, timestep, text, return_dict=False)[0]
    return (found - (noise - clean))[:, :, kept].pow(2).mean()


def train(
    name: str, folder: Path, steps: int, seed: int = 0, batch: int = 48, *, compiled: bool = False
) -> list[float]:
    """The loss of every step."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    recipe = RECIPES[name]
    model, prompts, data = network(recipe), Prompts(batch), Data(folder, recipe)
    with torch.no_grad():
        model.proj_out.weight.zero_()
    if recipe.base is not None:
        base = torch.load(folder / f"{recipe.base}.pt")["ema"]
        if not recipe.fresh:
            take_over(model, base["network"])
        prompts.encoder.load_state_dict(base["text"])
        prompts.encoder.requires_grad_(False)
    for block in model.blocks:
        block.attn2.set_processor(PaddedCrossAttention(prompts.bias))
    learning = torch.nn.ModuleDict({"network": model, "text": prompts.encoder})
    ema, state, step, average = copy.deepcopy(learning.state_dict()), folder / f"{name}.pt", 0, None
    fine = 1.0 if recipe.base is None or recipe.fresh else 0.4
    both = optimizers(learning, muon=6e-3 * fine, adam=2e-3 * fine, plain=("shared", "proj_out", "scale_shift"))
    if state.exists():
        saved = torch.load(state)
        learning.load_state_dict(saved["learning"])
        ema, step = saved["average"], saved["step"]
        for optimizer, kept in zip(both, saved["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
    losses: list[float] = []
    forward = torch.compile(model) if compiled else model
    rates, began, kept_at, first = [o.param_groups[0]["lr"] for o in both], time.time(), time.time(), step
    while step < steps:
        dice, noise = random.Random(seed * 10**6 + step), torch.Generator().manual_seed(seed * 10**6 + step)
        warm, end = min(1.0, (step + 1) / 60), 0.02 + 0.98 * min(1.0, (1 - step / steps) / 0.6)
        for optimizer, rate in zip(both, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * warm * end
        frames = 5 if step % 3 == 2 else 3
        count = batch if frames == 3 else batch * 5 // 8
        clean, captions, condition = data.draw(count, frames, dice)
        text = prompts(captions, dice.choice(PADDED))
        loss = loss_of(forward, recipe, clean, text, condition, dice.random() < 0.5, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning.parameters(), 1.0)
        for optimizer in both:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        losses.append(loss.item())
        keep = min(EMA, step / (step + 20))
        with torch.no_grad():
            for slow, fast in zip(ema.values(), learning.state_dict().values(), strict=True):
                slow.lerp_(fast, 1 - keep) if slow.is_floating_point() else slow.copy_(fast)
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if step % 100 == 0:
            each = (time.time() - began) / (step - first)
            print(f"{name} step {step}/{steps} loss {average:.4f} {each:.3f} s a step", flush=True)
        if step == steps or time.time() - kept_at > 120:
            kept_at = time.time()
            _save(state, learning, ema, both, step)
    return losses


def _save(
    state: Path, learning: torch.nn.Module, ema: dict[str, torch.Tensor], both: list[torch.optim.Optimizer], step: int
) -> None:
    parts = {
        part: {key.removeprefix(f"{part}."): value for key, value in ema.items() if key.startswith(f"{part}.")}
        for part in ("network", "text")
    }
    kept = {
        "ema": parts,
        "average": ema,
        "learning": learning.state_dict(),
        "optimizers": [o.state_dict() for o in both],
        "step": step,
    }
    torch.save(kept, state.with_suffix(".part"))
    state.with_suffix(".part").replace(state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=tuple(RECIPES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--compile", action="store_true", help="with torch.compile: needs a C++ compiler")
    options = parser.parse_args()
    train(options.name, options.folder, options.steps, options.seed, options.batch, compiled=options.compile)


if __name__ == "__main__":
    main()
