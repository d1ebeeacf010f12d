"""A small picture of what is being denoised, without decoding it."""

import base64

import torch

from wan_tui.core.runtime.state import Preview
from wan_tui.worker.load import LoadedModel

MAX_SIDE = 48
_FIT_SIDE = 8
_FIT_SAMPLES = 8


class Previewer:
    """Latents to RGB by a linear map, fitted once against the loaded VAE itself.

    Publishing fixed factors per VAE would bind previews to two checkpoints; a least-squares fit over a few smooth
    random latents costs one tiny decode and follows whatever VAE is loaded.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._factors = self._fit()

    def _fit(self) -> torch.Tensor:
        """(z_dim + 1) x 3: latent channels and a constant to RGB in -1..1."""
        vae, device = self._loaded.pipeline.vae, self._loaded.device
        stride = int(self._loaded.model.vae.config["scale_factor_spatial"])
        generator = torch.Generator().manual_seed(0)
        rows, colours = [], []
        with torch.no_grad():
            for _ in range(_FIT_SAMPLES):
                coarse = torch.randn(1, vae.config.z_dim, 2, 2, generator=generator)
                smooth = torch.nn.functional.interpolate(coarse, size=(_FIT_SIDE, _FIT_SIDE), mode="bilinear")
                latent = self._denormalise(smooth.unsqueeze(2)).to(device, vae.dtype)
                image = vae.decode(latent, return_dict=False)[0][:, :, 0].float().cpu()
                colours.append(torch.nn.functional.avg_pool2d(image, stride)[0].flatten(1).T)
                rows.append(smooth[0].flatten(1).T)
        latents = torch.cat(rows)
        latents = torch.cat([latents, torch.ones(len(latents), 1)], dim=1)
        return torch.linalg.lstsq(latents, torch.cat(colours)).solution

    def _denormalise(self, latents: torch.Tensor) -> torch.Tensor:
        config = self._loaded.pipeline.vae.config
        shape = (1, config.z_dim, 1, 1, 1)
        return latents * torch.tensor(config.latents_std).view(shape) + torch.tensor(config.latents_mean).view(shape)

    def __call__(self, latents: torch.Tensor) -> Preview:
        """The middle frame of normalised latents (1 x z_dim x frames x height x width), at most 48 pixels a side."""
        frame = latents[0, :, latents.shape[2] // 2].float().cpu()
        channels, height, width = frame.shape
        flat = torch.cat([frame.reshape(channels, -1), torch.ones(1, height * width)]).T
        rgb = (flat @ self._factors).T.reshape(1, 3, height, width)
        scale = MAX_SIDE / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        rgb = torch.nn.functional.interpolate(rgb, size=size, mode="bilinear", align_corners=False)[0]
        pixels = ((rgb.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous()
        return Preview(width=size[1], height=size[0], rgb=base64.b64encode(pixels.numpy().tobytes()).decode())
