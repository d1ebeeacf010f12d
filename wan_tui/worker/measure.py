"""What this device does per second, measured right after loading: the basis of the first estimates."""

import time
from collections.abc import Callable

import torch

from wan_tui.core.planning.activations import PROMPT_TOKENS
from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.flops import forward_flop
from wan_tui.worker.compiling import compile_now
from wan_tui.worker.load import LoadedModel

# Latent sides (tokens = (side/2)^2) that fill the device and are still over in a moment.
_FORWARD_SIDE = {"cpu": 16, "cuda": 64}
_DECODE_SIDE = {"cpu": 8, "cuda": 16}
_SMALLEST_SIDE = 2
# torch.compile has kernels of their own for a single token.
_SMALLEST_COMPILED_SIDE = 4
_DECODE_FRAMES = 3
# Slow enough to measure well in one go: not repeated.
_LONG_SECONDS = 0.5


def measure_rate(loaded: LoadedModel) -> DeviceRate:
    """Time the loaded networks at two sizes each, and the encoding of one prompt."""
    pipeline, model = loaded.pipeline, loaded.model
    stride = int(model.vae.config["scale_factor_spatial"])

    def encode() -> None:
        pipeline.encode_prompt(
            "", "", do_classifier_free_guidance=True, max_sequence_length=PROMPT_TOKENS, device=loaded.text_device
        )

    def forward(side: int) -> float:
        return _best_seconds(lambda: _forward(loaded, side), loaded.device)

    def decode(side: int) -> float:
        return _best_seconds(lambda: _decode(loaded, side), loaded.device) / _DECODE_FRAMES

    with torch.no_grad():
        text_seconds = _best_seconds(encode, loaded.device)
        forward_side, decode_side = _FORWARD_SIDE[loaded.device.type], _DECODE_SIDE[loaded.device.type]
        small_side = _SMALLEST_COMPILED_SIDE if loaded.plan.compile else _SMALLEST_SIDE
        forward_floor, forward_full = forward(small_side), forward(forward_side)
        decode_floor, decode_full = decode(_SMALLEST_SIDE), decode(decode_side)
    pipeline.maybe_free_model_hooks()
    return DeviceRate(
        text_encode_seconds=text_seconds,
        forward_floor_seconds=forward_floor,
        forward_flop_per_second=forward_flop(model, (forward_side // 2) ** 2) / _slope(forward_floor, forward_full),
        decode_floor_seconds=decode_floor,
        decode_pixels_per_second=(decode_side * stride) ** 2 / _slope(decode_floor, decode_full),
    )


def compile_pipeline(loaded: LoadedModel) -> None:
    """Have torch compile the blocks now, in one small pass of the first expert. Raises LoadError where it cannot."""
    compile_now(lambda: _forward(loaded, _FORWARD_SIDE[loaded.device.type]))
    loaded.pipeline.maybe_free_model_hooks()


def _slope(floor: float, full: float) -> float:
    """Seconds that the larger size adds; noise must not make work free (or negative)."""
    return max(full - floor, 0.1 * full)


def _forward(loaded: LoadedModel, side: int) -> None:
    transformer, config = loaded.pipeline.transformer, loaded.model.transformer.config
    like = {"dtype": transformer.dtype, "device": loaded.device}
    # Models with expand_timesteps take one timestep per token.
    timestep_shape = (1, (side // 2) ** 2) if loaded.model.expand_timesteps else (1,)
    transformer(
        hidden_states=torch.zeros(1, config["in_channels"], 1, side, side, **like),
        timestep=torch.zeros(timestep_shape, device=loaded.device),
        encoder_hidden_states=torch.zeros(1, PROMPT_TOKENS, config["text_dim"], **like),
    )


def _decode(loaded: LoadedModel, side: int) -> None:
    vae = loaded.pipeline.vae
    vae.decode(torch.zeros(1, vae.config.z_dim, _DECODE_FRAMES, side, side, dtype=vae.dtype, device=loaded.device))


def _best_seconds(work: Callable[[], object], device: torch.device, repetitions: int = 3) -> float:
    """The fastest of a few runs after a warm-up: interruptions only ever add time."""
    times = []
    for _ in range(repetitions + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
        if times[-1] > _LONG_SECONDS and len(times) > 1:
            break
    return min(times[1:])
