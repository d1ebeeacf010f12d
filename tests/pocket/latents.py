"""Encodes a data set of clips once: latents of 17 frames (whose first three are those of 9), and their captions' clips.

    python -m tests.pocket.latents pocket-vae-2-1 FOLDER [--clips N] [--seed N]

Writes FOLDER/NAME-latents.pt and, into FOLDER/NAME, the autoencoder with mean and standard deviation of its latents in
the configuration.
"""

import argparse
import random
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from tests.pocket import world
from tests.pocket.autoencoder import component, psnr

LEAST_STD = 0.2


@torch.no_grad()
def encode(vae: AutoencoderKLWan, video: torch.Tensor) -> torch.Tensor:
    return DiagonalGaussianDistribution(vae._encode(video)).mode()


@torch.no_grad()
def condition_of(vae: AutoencoderKLWan, video: torch.Tensor) -> torch.Tensor:
    """What the image-to-video pipeline encodes: the first frame, then nothing (grey)."""
    held = torch.zeros_like(video)
    held[:, :, 0] = video[:, :, 0]
    return encode(vae, held)


def write(name: str, folder: Path, count: int, seed: int) -> None:
    torch.set_num_threads(1)
    vae = component(name)
    vae.load_state_dict(torch.load(folder / f"{name}.pt")["vae"])
    vae.half().float().eval()  # as it will be on disk
    dice, everything = random.Random(seed), world.combinations()
    clips = [world.placed(everything[i % len(everything)], dice) for i in range(count)]
    with_condition = name == "pocket-vae-2-1"
    latents, conditions = [], []
    for start in range(0, count, 20):
        video, _ = world.render(clips[start : start + 20])
        latents.append(encode(vae, video).half())
        if with_condition:
            conditions.append(condition_of(vae, video).half())
        if start % 200 == 0:
            print(f"{name} {start}/{count}", flush=True)
    whole = torch.cat(latents)
    mean = whole.float().mean((0, 2, 3, 4))
    std = whole.float().std((0, 2, 3, 4)).clamp(min=LEAST_STD)
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
    print(f"{name} mean {mean.abs().max():.2f} std {std.min():.2f}..{std.max():.2f}, psnr %.1f, least %.1f" % psnr(vae))
    vae.half().save_pretrained(folder / name)
    shift, scale = mean[:, None, None, None], std[:, None, None, None]
    kept = {"clips": clips, "latents": ((whole.float() - shift) / scale).half()}
    if with_condition:
        kept["conditions"] = ((torch.cat(conditions).float() - shift) / scale).half()
    torch.save(kept, folder / f"{name}-latents.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("pocket-vae-2-1", "pocket-vae-2-2"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=6200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write(options.name, options.folder, options.clips, options.seed)


if __name__ == "__main__":
    main()
