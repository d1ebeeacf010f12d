"""Trains a transformer of the pocket models on encoded clips, on one thread.

    python -m tests.pocket.transformer t2v FOLDER [--steps N] [--seed N]

``t2v`` and ``ti2v`` learn with their text encoder from nothing. ``t2v-high``, ``t2v-low``, ``i2v-high`` and ``i2v-low``
are experts: they go on from ``t2v`` with its text encoder frozen, each on its side of the boundary. Goes on from
FOLDER/NAME.pt when it is called again.

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

EMA = 0.998
_SMALL = {"attention_head_dim": 32, "num_attention_heads": 4, "num_layers": 4, "ffn_dim": 256}
_WIDE = {"attention_head_dim": 32, "num_attention_heads": 6, "num_layers": 4, "ffn_dim": 384}
_COMMON = {
    "patch_size": (1, 2, 2),
    "text_dim": 64,
    "freq_dim": 64,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "eps": 1e-6,
}


@dataclass(frozen=True)
class Recipe:
    """What one network learns from: ``low`` and ``high`` bound its sigmas."""

    vae: str
    config: dict[str, Any]
    shift: float = 3.0
    low: float = 0.0
    high: float = 1.0
    base: str | None = None
    picture: str | None = None  # "channels": as i2v-A14B takes it; "tokens": as ti2v-5B does


_T2V = {**_SMALL, "in_channels": 16, "out_channels": 16}
_I2V = {**_SMALL, "in_channels": 36, "out_channels": 16}
RECIPES = {
    "t2v": Recipe("pocket-vae-2-1", _T2V),
    "t2v-high": Recipe("pocket-vae-2-1", _T2V, low=0.86, base="t2v"),
    "t2v-low": Recipe("pocket-vae-2-1", _T2V, high=0.89, base="t2v"),
    "i2v": Recipe("pocket-vae-2-1", _I2V, base="t2v", picture="channels"),
    "i2v-high": Recipe("pocket-vae-2-1", _I2V, low=0.885, base="i2v", picture="channels"),
    "i2v-low": Recipe("pocket-vae-2-1", _I2V, high=0.915, base="i2v", picture="channels"),
    "ti2v": Recipe("pocket-vae-2-2", {**_WIDE, "in_channels": 48, "out_channels": 48}, shift=5.0, picture="tokens"),
}


def network(recipe: Recipe) -> WanTransformer3DModel:
    return WanTransformer3DModel(**{**_COMMON, **recipe.config})


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
        kept = torch.load(folder / f"{recipe.vae}-latents.pt", weights_only=False)
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
    shift = recipe.shift
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


def train(name: str, folder: Path, steps: int, seed: int, batch: int, compiled: bool) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    recipe = RECIPES[name]
    model, prompts, data = network(recipe), Prompts(batch), Data(folder, recipe)
    with torch.no_grad():
        model.proj_out.weight.zero_()
    if recipe.base is not None:
        base = torch.load(folder / f"{recipe.base}.pt")["ema"]
        take_over(model, base["network"])
        prompts.encoder.load_state_dict(base["text"])
        prompts.encoder.requires_grad_(False)
    for block in model.blocks:
        block.attn2.set_processor(PaddedCrossAttention(prompts.bias))
    learning = torch.nn.ModuleDict({"network": model, "text": prompts.encoder})
    ema, state, step, average = copy.deepcopy(learning.state_dict()), folder / f"{name}.pt", 0, None
    fine = 0.4 if recipe.base is not None else 1.0
    both = optimizers(learning, muon=6e-3 * fine, adam=2e-3 * fine, plain=("shared", "proj_out", "scale_shift"))
    if state.exists():
        saved = torch.load(state)
        learning.load_state_dict(saved["learning"])
        ema, step = saved["average"], saved["step"]
        for optimizer, kept in zip(both, saved["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
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
    train(options.name, options.folder, options.steps, options.seed, options.batch, options.compile)


if __name__ == "__main__":
    main()
