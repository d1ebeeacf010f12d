"""How long will it take on a device that was measured: exact operation counts against its rate.

Counts follow the diffusers modules to 0.1 % (checked with torch's FLOP counter); one multiply-add is two operations.
"""

import functools
from dataclasses import dataclass

from wan_tui.core.catalog import Model
from wan_tui.core.planning.flops import decode_flop, encode_flop, forward_flop
from wan_tui.core.planning.plan import Bounds, StageSeconds, TimeEstimate
from wan_tui.core.planning.step_cache import computed_passes
from wan_tui.core.words import Basis, Phase, StepCache

# x264 at preset medium on one core, pixels a second: 1280 x 720 at 25 frames. A small share of any clip's time.
WRITE_PIXELS_PER_SECOND = 23e6

# A modelled estimate has never been seen against this host: a factor of two either way.
MODELLED_SPREAD = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRate:
    """What a worker measured on its device right after loading, with the loaded networks under the plan in force.

    Each cost is a straight line through two measured sizes: a floor (launching kernels, moving offloaded weights)
    and a rate. ``decode_*`` are for one latent frame. The prompt is always padded to one length, so encoding it
    is one figure, with its negative prompt.
    """

    text_encode_seconds: float
    forward_floor_seconds: float
    forward_flop_per_second: float
    decode_floor_seconds: float
    decode_pixels_per_second: float


def estimate_time(
    model: Model,
    rate: DeviceRate,
    *,
    width: int,
    height: int,
    frames: int,
    steps: int,
    guidance: float,
    with_image: bool = False,
    cache: StepCache = StepCache.NONE,
    batch: int = 1,
) -> TimeEstimate:
    """Modelled seconds of one generation after loading, on a device that its worker measured.

    ``with_image``: a picture is encoded first, at the rate of decoding, by its share of the operations. ``cache``
    saves passes, ``batch`` clips are made at once of one prompt.
    """
    passes = 2 if guidance > 1.0 else 1
    flop = forward_flop(model, model.tokens(width, height, frames))
    forward = rate.forward_floor_seconds + batch * flop / rate.forward_flop_per_second
    decode = rate.decode_floor_seconds + width * height / rate.decode_pixels_per_second
    clip_decoding = decode * model.latent_frames(frames)
    encoded = 1 if model.expand_timesteps else frames
    share = encode_flop(model, width, height, encoded) / decode_flop(model, width, height, frames)
    layers = model.transformer.config["num_layers"]
    experts = [(phase, computed_passes(cache, count, layers)) for phase, count in steps_by_expert(model, steps)]
    stages = tuple(
        StageSeconds(stage, seconds)
        for stage, seconds in (
            (Phase.TEXT_ENCODE, rate.text_encode_seconds),
            *(((Phase.IMAGE_ENCODE, clip_decoding * batch * share),) if with_image else ()),
            *((phase, forward * passes * run.expected) for phase, run in experts),
            (Phase.VAE_DECODE, clip_decoding * batch),
            (Phase.WRITE_OUTPUT, width * height * frames * batch / WRITE_PIXELS_PER_SECOND),
        )
    )
    total = sum(stage.seconds for stage in stages)
    saved, lost = (
        forward * passes * sum(difference)
        for difference in (
            [run.expected - run.low for _, run in experts],
            [run.high - run.expected for _, run in experts],
        )
    )
    bounds = Bounds((total - saved) / MODELLED_SPREAD, total, (total + lost) * MODELLED_SPREAD)
    return TimeEstimate(basis=Basis.MODELLED, total_seconds=bounds, stages=stages)


@functools.lru_cache(maxsize=256)
def steps_by_expert(model: Model, steps: int) -> tuple[tuple[Phase, int], ...]:
    """How many of ``steps`` each expert takes under the flow shift of the model (sigma = s*u / (1 + (s-1)*u))."""
    if model.boundary_ratio is None:
        return ((Phase.DENOISE_HIGH_NOISE, steps),)
    shift = model.flow_shift
    uniform = [1 - step / steps for step in range(steps)]
    high = sum(shift * u / (1 + (shift - 1) * u) >= model.boundary_ratio for u in uniform)
    return ((Phase.DENOISE_HIGH_NOISE, high), (Phase.DENOISE_LOW_NOISE, steps - high))
