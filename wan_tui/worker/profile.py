"""``python -m wan_tui.worker.profile [COMPONENT…]``: how much activation memory the Wan networks take, measured.

The real modules run on torch's meta device, where tensors have shapes and no values, while live storages are tracked.
Every tensor of a network is a product of sizes that the request sets, so after each operation the live bytes are a
polynomial of a few known terms. Fitting it at small shapes gives the exact figure for any shape; the coefficients of
the operations that can be the peak are printed as JSON (wan_tui/core/planning/activations.toml holds them).
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from unittest import mock

import diffusers
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from wan_tui.core.catalog import Component, load_catalogue
from wan_tui.core.planning.activations import PROMPT_TOKENS
from wan_tui.core.words import Precision
from wan_tui.worker.networks import network_of
from wan_tui.worker.storages import LiveStorages, fused_attention

DTYPES = {Precision.FP32: torch.float32, Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}

# More layers repeat the same tensors: two reach the peak of forty.
LAYERS = 2

# Candidates for the peak are dropped while the rest stays this close to the exact maximum at every shape.
TOLERANCE = 1e-3

# (latent frames, latent height, latent width, batch) of the fit, then of the check.
DENOISE_SHAPES = ((3, 8, 8, 1), (3, 16, 8, 1), (3, 8, 8, 2), (3, 16, 8, 3), (5, 12, 20, 2))
# (latent height, latent width) of the fit, then of the check; at least 3 latent frames reach the steady state.
VAE_SHAPES = ((8, 8), (16, 8), (16, 16), (12, 20))
STEADY_FRAMES = 4
TEXT_BATCHES = (2, 3, 5)

# What the candidates are judged at: everything that a request may ask for.
_TOKENS = (16, 256, 1280, 7800, 32760, 75600, 200_000)
_SIDES = (4, 8, 16, 32, 60, 90, 160)

Term = dict[str, int]


class ProfileError(Exception):
    """The network does not behave as the formula says: its structure has changed."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Live bytes after each operation of one run."""

    events: tuple[int, ...]

    @property
    def peak_bytes(self) -> int:
        return max(self.events)


@dataclass(frozen=True, slots=True)
class VaeTrace:
    """One run of an autoencoder: all events, and those of each pass over a latent frame.

    ``calls`` hold, for each pass, the live bytes of its events less what the caller held when it began;
    ``caches`` the bytes of the convolutions' history when each ended.
    """

    peak_bytes: int
    calls: tuple[tuple[int, ...], ...]
    caches: tuple[int, ...]


def build(component: Component, precision: Precision, layers: int | None = LAYERS) -> Any:
    """The component on the meta device in ``precision``, what diffusers keeps in fp32 in fp32."""
    config = dict(component.config)
    if layers is not None and "num_layers" in config:
        config["num_layers"] = layers
    with torch.device("meta"):
        module = network_of(replace(component, config=MappingProxyType(config)))
    kept = set(module._keep_in_fp32_modules or ()) if _keeps_fp32(component, precision) else set()
    for path, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not kept & set(path.split(".")):
            tensor.data = tensor.data.to(DTYPES[precision])
    return module.eval().requires_grad_(False)


def _keeps_fp32(component: Component, precision: Precision) -> bool:
    # transformers keeps UMT5's `wo` in fp32 for fp16 alone, where it would overflow; diffusers its list always.
    return component.class_name != "UMT5EncoderModel" or precision is Precision.FP16


def _denoise_inputs(module: Any, per_token_time: bool, shape: Sequence[int]) -> dict[str, Any]:
    frames, height, width, batch = shape
    like = {"dtype": module.dtype, "device": "meta"}
    time_shape = (batch, frames * (height // 2) * (width // 2)) if per_token_time else (batch,)
    return {
        "hidden_states": torch.empty(batch, module.config.in_channels, frames, height, width, **like),
        "timestep": torch.empty(time_shape, device="meta"),
        "encoder_hidden_states": torch.empty(batch, PROMPT_TOKENS, module.config.text_dim, **like),
    }


def trace_denoise(
    component: Component, precision: Precision, per_token_time: bool, shape: Sequence[int], layers: int | None = LAYERS
) -> Trace:
    """One transformer pass; ``shape`` is (latent frames, latent height, latent width, batch)."""
    module = build(component, precision, layers)
    with torch.no_grad(), fused_attention(), LiveStorages(module) as storages:
        inputs = _denoise_inputs(module, per_token_time, shape)
        output = module(**inputs, return_dict=False)
    del output
    return Trace(tuple(storages.trace))


def trace_text(component: Component, precision: Precision, batch: int, layers: int | None = LAYERS) -> Trace:
    """Encoding ``batch`` padded prompts at once."""
    module = build(component, precision, layers)
    with torch.no_grad(), fused_attention(), LiveStorages(module) as storages:
        output = _run_text(module, batch)
    del output
    return Trace(tuple(storages.trace))


def _run_text(module: Any, batch: int) -> Any:
    tokens = torch.zeros(batch, PROMPT_TOKENS, dtype=torch.long, device="meta")
    # transformers drops a mask without padding, which it cannot see on meta: prompts are shorter than their padding.
    # A function of our own, since a Mock would keep its arguments alive and they would be counted.
    with mock.patch.object(transformers.masking_utils, "_ignore_bidirectional_mask_sdpa", _keep_mask):
        return module(tokens, torch.ones_like(tokens))


def _keep_mask(*_: object, **__: object) -> bool:
    return False


def trace_vae(
    component: Component,
    precision: Precision,
    half: str,
    shape: Sequence[int],
    *,
    tiled: bool = False,
    sliced: bool = False,
    batch: int = 1,
) -> VaeTrace:
    """``half`` is ``decode`` or ``encode``; ``shape`` is (latent frames, latent height, latent width)."""
    module = build(component, precision)
    module.use_tiling, module.use_slicing = tiled, sliced
    calls: list[tuple[int, ...]] = []
    caches: list[int] = []
    with torch.no_grad(), fused_attention(), LiveStorages(module) as storages:
        begun: list[int] = []

        def history() -> int:
            held = module._feat_map if half == "decode" else module._enc_feat_map
            return sum(part.untyped_storage().nbytes() for part in held if isinstance(part, torch.Tensor))

        def before(*_: object) -> None:
            begun[:] = [len(storages.trace), storages.live_bytes - history()]

        def after(*_: object) -> None:
            first, held = begun
            calls.append(tuple(live - held for live in storages.trace[first:]))
            caches.append(history())

        network = module.decoder if half == "decode" else module.encoder
        network.register_forward_pre_hook(before)
        network.register_forward_hook(after)
        _run_vae(module, half, shape, batch)
    return VaeTrace(peak_bytes=storages.peak_bytes, calls=tuple(calls), caches=tuple(caches))


def _run_vae(module: Any, half: str, shape: Sequence[int], batch: int) -> None:
    frames, height, width = shape
    like = {"dtype": module.dtype, "device": "meta"}
    if half == "decode":
        module.decode(torch.empty(batch, module.config.z_dim, frames, height, width, **like))
        return
    space, time = module.config.scale_factor_spatial, module.config.scale_factor_temporal
    clip = torch.empty(batch, 3, (frames - 1) * time + 1, height * space, width * space, **like)
    module.encode(clip).latent_dist.mode()


def count_flop(run: Callable[[], object]) -> int:
    """Operations of ``run`` by torch's own counter; a multiply-add is two."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        run()
    return int(counter.get_total_flops())


def count_denoise(component: Component, per_token_time: bool, shape: Sequence[int], layers: int | None = LAYERS) -> int:
    module = build(component, Precision.BF16, layers)
    return count_flop(lambda: module(**_denoise_inputs(module, per_token_time, (*shape, 1))))


def count_text(component: Component, layers: int | None = LAYERS) -> int:
    module = build(component, Precision.BF16, layers)
    return count_flop(lambda: _run_text(module, 1))


def count_vae(component: Component, half: str, shape: Sequence[int], *, tiled: bool = False) -> int:
    module = build(component, Precision.FP32)
    if tiled:
        module.enable_tiling()
    return count_flop(lambda: _run_vae(module, half, shape, 1))


def profile_component(component: Component, per_token_time: bool = False) -> dict[str, Any]:
    """Coefficients of every figure of ``component``, as activations.toml holds them."""
    match component.class_name:
        case "WanTransformer3DModel":
            return {
                precision.value: {"peaks": _denoise_peaks(component, precision, per_token_time)}
                for precision in (Precision.FP32, Precision.BF16)
            }
        case "UMT5EncoderModel":
            return {precision.value: {"peaks": _text_peaks(component, precision)} for precision in Precision}
        case _:
            return {f"{half}_flop": _vae_flop(component, half) for half in ("decode", "encode")} | {
                precision.value: {half: _vae_peaks(component, precision, half) for half in ("decode", "encode")}
                for precision in (Precision.FP32, Precision.BF16)
            }


def _denoise_terms(tokens: int, batch: int) -> Mapping[str, int]:
    return {"token": tokens * batch, "shared_token": tokens, "clip": batch, "fixed": 1}


def _denoise_peaks(component: Component, precision: Precision, per_token_time: bool) -> list[Term]:
    runs = []
    for shape in DENOISE_SHAPES:
        frames, height, width, batch = shape
        terms = _denoise_terms(frames * (height // 2) * (width // 2), batch)
        runs.append((terms, trace_denoise(component, precision, per_token_time, shape).events))
    grid = [_denoise_terms(tokens, batch) for tokens in _TOKENS for batch in (1, 2, 4)]
    return envelope(fit(runs), grid)


def _text_peaks(component: Component, precision: Precision) -> list[Term]:
    runs = [({"clip": batch, "fixed": 1}, trace_text(component, precision, batch).events) for batch in TEXT_BATCHES]
    return envelope(fit(runs), [{"clip": batch, "fixed": 1} for batch in (1, 2, 4)])


def _vae_terms(height: int, width: int) -> Mapping[str, int]:
    return {"area": height * width, "edge": height + width, "fixed": 1}


def _vae_peaks(component: Component, precision: Precision, half: str) -> dict[str, Any]:
    traces = [
        (_vae_terms(*shape), trace_vae(component, precision, half, (STEADY_FRAMES, *shape))) for shape in VAE_SHAPES
    ]
    grid = [_vae_terms(height, width) for height, width in itertools.product(_SIDES, _SIDES)]
    found: dict[str, Any] = {}
    for name, call in (("first", 0), ("second", 1), ("next", -1)):
        found[name] = {
            "peaks": envelope(fit([(terms, trace.calls[call]) for terms, trace in traces]), grid),
            "kept": fit([(terms, (trace.caches[call],)) for terms, trace in traces])[0],
        }
    return found


def _vae_flop(component: Component, half: str) -> Term:
    """Per latent pixel: the first pass, every later one; and per latent pixel squared (attention) in each pass."""
    area = 64
    small, large = count_vae(component, half, (1, 8, 8)), count_vae(component, half, (1, 16, 8))
    attention = (large - 2 * small) // (2 * area**2)
    longer = count_vae(component, half, (2, 8, 8))
    first = small // area - attention * area
    return {"first": first, "next": (longer - small) // area - attention * area, "attention": attention}


def fit(runs: Sequence[tuple[Mapping[str, int], Sequence[int]]]) -> list[Term]:
    """Coefficients of each event from all runs. Raises ProfileError when the bytes are not made of the terms."""
    lengths = {len(events) for _, events in runs}
    if len(lengths) != 1:
        raise ProfileError(f"the operations depend on the shape: runs have {sorted(lengths)} of them")
    names = list(runs[0][0])
    matrix = torch.tensor([[float(terms[name]) for name in names] for terms, _ in runs], dtype=torch.float64)
    events = torch.tensor([list(events) for _, events in runs], dtype=torch.float64)
    solution = torch.linalg.lstsq(matrix, events).solution.round()
    wrong = (matrix @ solution - events).abs().amax(0) > TOLERANCE * events.amax()
    if wrong.any():
        raise ProfileError(f"{int(wrong.sum())} of {events.shape[1]} operations do not follow the terms {names}")
    return [dict(zip(names, (int(value) for value in column), strict=True)) for column in solution.T.tolist()]


def envelope(candidates: Sequence[Term], grid: Sequence[Mapping[str, int]]) -> list[Term]:
    """The fewest candidates whose maximum is the maximum of all, to TOLERANCE, at every point of ``grid``."""
    distinct = {tuple(candidate.values()): candidate for candidate in candidates}
    rows = list(distinct.values())
    values = {id(row): [value(row, point) for point in grid] for row in rows}
    best = [max(column) for column in zip(*values.values(), strict=True)]
    chosen: list[Term] = []
    missing = list(range(len(grid)))
    while missing:
        # The one that is right at most of the points that are still open.
        row = max(rows, key=lambda row: sum(values[id(row)][i] >= best[i] * (1 - TOLERANCE) for i in missing))
        chosen.append(row)
        missing = [i for i in missing if values[id(row)][i] < best[i] * (1 - TOLERANCE)]
    return chosen


def value(coefficients: Term, terms: Mapping[str, int]) -> int:
    return sum(coefficients[name] * terms[name] for name in coefficients)


def profile(names: Sequence[str]) -> dict[str, Any]:
    """Everything that activations.toml holds, for the components called ``names`` (default: all)."""
    parts: dict[str, tuple[Component, bool]] = {}
    for model in load_catalogue().models:
        for _, component in model.components:
            parts[component.name] = (component, model.expand_timesteps and component is model.transformer)
    found: dict[str, Any] = {
        "made_with": {
            "torch": torch.__version__.split("+")[0],
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "denoise_shapes": [list(shape) for shape in DENOISE_SHAPES],
            "vae_shapes": [[STEADY_FRAMES, *shape] for shape in VAE_SHAPES],
            "text_batches": list(TEXT_BATCHES),
        }
    }
    for name in names or parts:
        sys.stderr.write(f"{name}\n")
        try:
            found[name] = profile_component(*parts[name])
        except ProfileError as error:
            raise ProfileError(f"{name}: {error}") from error
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m wan_tui.worker.profile", description=__doc__)
    parser.add_argument("components", nargs="*", metavar="COMPONENT")
    try:
        found = profile(parser.parse_args(arguments).components)
    except ProfileError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
