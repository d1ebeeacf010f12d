"""Writes the trained weights into the package, in 16 bit, and the latents' statistics into the catalogue.

python -m tests.pocket.assemble FOLDER [MODEL …]
"""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file

import wan_tui.core.catalog
from wan_tui.worker.pocket import WEIGHTS, weights_file

COMPONENTS = Path(wan_tui.core.catalog.__file__).parent / "components.toml"
# What the files are made from: a recipe, and its part.
_MADE_FROM = {
    "text-encoder": ("t2v", "text"),
    "t2v-high-noise": ("t2v-high", "network"),
    "t2v-low-noise": ("t2v-low", "network"),
    "i2v-high-noise": ("i2v-high", "network"),
    "i2v-low-noise": ("i2v-low", "network"),
    "ti2v": ("ti2v", "network"),
}


def write(folder: Path, models: Iterable[str]) -> None:
    for name in sorted({file for model in models for file in WEIGHTS[model].values()}):
        state = _autoencoder(folder, name) if name.startswith("vae") else _trained(folder, name)
        tensors = {key: value.half().contiguous() for key, value in state.items()}
        file = weights_file(name)
        file.parent.mkdir(exist_ok=True)
        save_file(tensors, file)
        file.chmod(0o644)
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")
    everything = {weights_file(name) for parts in WEIGHTS.values() for name in parts.values()}
    print(f"{sum(file.stat().st_size for file in everything if file.exists()) / 1e6:.2f} MB in all")


def _trained(folder: Path, name: str) -> dict[str, torch.Tensor]:
    recipe, part = _MADE_FROM[name]
    state: dict[str, torch.Tensor] = torch.load(folder / f"{recipe}.pt")["ema"][part]
    return {key: value for key, value in state.items() if key != "encoder.embed_tokens.weight"}


def _autoencoder(folder: Path, name: str) -> dict[str, torch.Tensor]:
    vae = AutoencoderKLWan.from_pretrained(folder / f"pocket-{name}")
    before, start, after = COMPONENTS.read_text().partition(f"[pocket-{name}.config]")
    for key in ("latents_mean", "latents_std"):
        values = ", ".join(f"{value:.4f}" for value in vae.config[key])
        after = re.sub(rf"(?m)^{key} = .*$", f"{key} = [{values}]", after, count=1)
    COMPONENTS.write_text(before + start + after)
    state: dict[str, torch.Tensor] = vae.state_dict()
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=list(WEIGHTS))
    options = parser.parse_args()
    write(options.folder, options.models)


if __name__ == "__main__":
    main()
