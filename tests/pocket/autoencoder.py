"""Trains the autoencoder of the pocket models (either form), on one thread.

    python -m tests.pocket.autoencoder pocket-vae-2-1 FOLDER [--steps N] [--seed N]

Pictures first, then clips of 9 frames, cropped, then whole. The loss is L1, four times as heavy on the shape and around
it, plus L1 of the differences between neighbours and a little KL. Writes the last state to FOLDER every few minutes and
goes on from it when it is called again.
"""

import argparse
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from tests.pocket import world
from tests.pocket.muon import optimizers
from wan_tui.core.catalog import load_catalogue

PICTURES, CROPS = 0.25, 0.65  # fractions of the training at which they end


def component(name: str) -> AutoencoderKLWan:
    """Fresh weights: time is ignored at first, so that pictures teach what clips need."""
    config = next(model.vae.config for model in load_catalogue().models if model.vae.name == name)
    vae = AutoencoderKLWan(**config)
    with torch.no_grad():
        for path, module in vae.named_modules():
            if not isinstance(module, torch.nn.Conv3d) or module.weight.shape[2] != 3:
                continue
            if "time_conv" in path:
                _identity(module)
            else:
                module.weight[:, :, -1] += module.weight[:, :, 0] + module.weight[:, :, 1]
                module.weight[:, :, :-1] = 0
        half = vae.config.z_dim
        vae.quant_conv.bias[half:] = -5
        vae.quant_conv.weight[half:] *= 0.1
    return vae


def _identity(conv: torch.nn.Conv3d) -> None:
    """A convolution over time that hands on the newest frame: to both halves where it doubles the frames."""
    out, into = conv.weight.shape[:2]
    conv.weight *= 0.02
    for part in range(out // into):
        for channel in range(into):
            conv.weight[part * into + channel, channel, -1] += 1
    conv.bias.zero_()


def decode(vae: AutoencoderKLWan, latents: torch.Tensor) -> torch.Tensor:
    """``vae.decode`` without its clamp, which has no gradient where the picture is right."""
    vae.clear_cache()
    hidden = vae.post_quant_conv(latents)
    parts = []
    for frame in range(latents.shape[2]):
        vae._conv_idx = [0]
        parts.append(
            vae.decoder(
                hidden[:, :, frame : frame + 1],
                feat_cache=vae._feat_map,
                feat_idx=vae._conv_idx,
                first_chunk=frame == 0,
            )
        )
    vae.clear_cache()
    video = torch.cat(parts, 2)
    return unpatchify(video, vae.config.patch_size) if vae.config.patch_size else video


def loss_of(vae: AutoencoderKLWan, video: torch.Tensor, coverage: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
    posterior = DiagonalGaussianDistribution(vae._encode(video))
    latents = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=noise)
    found = decode(vae, latents)
    near = F.max_pool3d(coverage, (1, 5, 5), stride=1, padding=(0, 2, 2))
    error = (found - video).abs()
    loss = (error * (1 + 3 * near)).mean()
    for axis in (-1, -2):
        loss = loss + 0.5 * (found.diff(dim=axis) - video.diff(dim=axis)).abs().mean()
    mean, logvar = posterior.mean, posterior.logvar
    return loss + 2e-4 * 0.5 * (mean.pow(2) + logvar.exp() - 1 - logvar).mean()


def batch_at(
    progress: float, dice: random.Random, everything: list[world.Clip], *, crops: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Video and coverage. ``crops``: quicker, but what is 2x2 in the 2.2 form's latents teaches it only borders."""
    cropped = crops and progress < CROPS
    count = 12 if progress < PICTURES else 4 if cropped else 2
    clips = [world.placed(dice.choice(everything), dice) for _ in range(count)]
    if progress < PICTURES:
        video, coverage = world.render(clips, 17)
        frame = dice.randrange(17)
        return video[:, :, frame : frame + 1], coverage[:, :, frame : frame + 1]
    video, coverage = world.render(clips, 17)
    frames = 9 if dice.random() < 0.85 else 17
    video, coverage = video[:, :, :frames], coverage[:, :, :frames]
    if cropped:
        x, y = dice.randrange(33), dice.randrange(33)
        return video[..., y : y + 32, x : x + 32], coverage[..., y : y + 32, x : x + 32]
    return video, coverage


@torch.no_grad()
def psnr(vae: AutoencoderKLWan, count: int = 16) -> tuple[float, float]:
    """Mean and least over unseen clips of 17 frames, in dB."""
    dice = random.Random(999)
    everything = world.combinations()
    video, _ = world.render([world.placed(dice.choice(everything), dice) for _ in range(count)])
    found = decode(vae, DiagonalGaussianDistribution(vae._encode(video)).mean).clamp(-1, 1)
    each = [10 * math.log10(4 / float((a - b).pow(2).mean())) for a, b in zip(found, video, strict=True)]
    return sum(each) / count, min(each)


def train(name: str, folder: Path, steps: int, seed: int) -> list[float]:
    """The loss of every step."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    vae, dice, noise = component(name), random.Random(seed), torch.Generator().manual_seed(seed)
    both = optimizers(vae, muon=1e-2, adam=2e-3)
    everything, state, step, average = world.combinations(), folder / f"{name}.pt", 0, None
    folder.mkdir(parents=True, exist_ok=True)
    if state.exists():
        saved = torch.load(state)
        vae.load_state_dict(saved["vae"])
        for optimizer, kept in zip(both, saved["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        step = saved["step"]
        dice, noise = random.Random(seed + step), torch.Generator().manual_seed(seed + step)
    losses: list[float] = []
    rates, began, kept_at = [o.param_groups[0]["lr"] for o in both], time.time(), time.time()
    while step < steps:
        progress = step / steps
        warm, end = min(1.0, (step + 1) / 30), 0.02 + 0.98 * min(1.0, (1 - progress) / 0.5)
        for optimizer, rate in zip(both, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * warm * end
        loss = loss_of(vae, *batch_at(progress, dice, everything, crops=name == "pocket-vae-2-1"), noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for optimizer in both:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        losses.append(loss.item())
        average = loss.item() if average is None else 0.97 * average + 0.03 * loss.item()
        if step % 50 == 0:
            print(f"{name} step {step}/{steps} loss {average:.4f} {time.time() - began:.0f} s", flush=True)
        if step == steps or time.time() - kept_at > 120:
            kept_at = time.time()
            kept = {"vae": vae.state_dict(), "optimizers": [o.state_dict() for o in both], "step": step}
            torch.save(kept, state.with_suffix(".part"))
            state.with_suffix(".part").replace(state)
            print(f"{name} step {step} psnr %.1f dB, least %.1f dB" % psnr(vae), flush=True)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("pocket-vae-2-1", "pocket-vae-2-2"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train(options.name, options.folder, options.steps, options.seed)


if __name__ == "__main__":
    main()
