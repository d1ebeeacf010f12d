"""How diffusers cuts a clip into overlapping tiles for the VAE (AutoencoderKLWan.tiled_decode, .tiled_encode)."""

from wan_tui.core.catalog import Component

# AutoencoderKLWan's defaults: a tile and the distance to the next one.
TILE_SIDE = 256
TILE_STRIDE = 192

Size = tuple[int, int]


def latent_size(vae: Component, width: int, height: int) -> Size:
    """(height, width) of the latent picture."""
    stride = int(vae.config["scale_factor_spatial"])
    return height // stride, width // stride


def is_tiled(vae: Component, width: int, height: int) -> bool:
    """Whether a VAE with tiling enabled cuts this picture at all."""
    return width > TILE_SIDE or height > TILE_SIDE


def decode_tiles(vae: Component, width: int, height: int) -> tuple[Size, ...]:
    """(height, width) of each tile in latent pixels, row by row; the last of a row or column may be narrow."""
    stride = int(vae.config["scale_factor_spatial"])
    return _tiles(vae, width, height, TILE_SIDE // stride, TILE_STRIDE // stride)


def encode_tiles(vae: Component, width: int, height: int) -> tuple[Size, ...]:
    """As ``decode_tiles``. A VAE that folds patches into channels first (2.2) counts its tiles in folded pixels."""
    stride = int(vae.config["scale_factor_spatial"]) // int(vae.config.get("patch_size") or 1)
    return _tiles(vae, width, height, TILE_SIDE // stride, TILE_STRIDE // stride)


def _tiles(vae: Component, width: int, height: int, side: int, step: int) -> tuple[Size, ...]:
    high, wide = latent_size(vae, width, height)
    if not is_tiled(vae, width, height):
        return ((high, wide),)
    return tuple((min(side, high - y), min(side, wide - x)) for y in range(0, high, step) for x in range(0, wide, step))
