"""What a step cache saves and keeps: diffusers' own rules (hooks/ of 0.42) as arithmetic.

A pass is one run of an expert over the latents. Two of the caches decide from the number of the step alone, so that
the passes which are left can be counted; the others decide from values that nobody knows before, so that there are
bounds. Of the Wan transformers each expert has a cache of its own, and so has each of the two passes of guidance.

Left out: TaylorSeer of every attention and feed-forward layer, which keeps two tensors of the whole clip for each of 80
to 120 layers (370 GB for A14B at 720p); its lite mode, taken here, predicts the last projection alone. Its default
patterns match no module of Wan (they end in ``attn``; Wan's are ``attn1``, ``attn2``). Also left out: pyramid attention
broadcast and FasterCache (both ask for timestep ranges that were tuned for other models) and SeaCache (new in 0.42,
without a published threshold for Wan).
"""

import math
from collections.abc import Mapping

from wan_tui.core.catalog import Model
from wan_tui.core.catalog.efficiency import load_efficiency
from wan_tui.core.planning.plan import Bounds
from wan_tui.core.words import Precision, StepCache

# Relative change of the first block's residual below which the other blocks are skipped: diffusers' default.
FIRST_BLOCK_THRESHOLD = 0.05
# diffusers' defaults: error that may add up, passes skipped in a row, share of the steps at the start that all run.
MAG_THRESHOLD = 0.06
MAG_MOST_SKIPPED = 3
MAG_RETENTION_RATIO = 0.2
# A whole pass every third step after three to begin with: the interval of the published 2 to 2.5 times.
TAYLOR_INTERVAL = 3
TAYLOR_WARM_UP = 3
TAYLOR_ORDER = 1

# Relative error of the clip that a cache causes at these settings: an order of the caches more than a measurement.
QUALITY_LOSS: Mapping[StepCache, float] = {
    StepCache.NONE: 0.0,
    StepCache.FIRST_BLOCK: 0.05,
    StepCache.MAG: 0.06,
    StepCache.TAYLOR_SEER: 0.08,
}


def computed_passes(cache: StepCache, steps: int, layers: int) -> Bounds:
    """How many of the ``steps`` passes of one expert of ``layers`` blocks are left to run, in whole passes."""
    if steps <= 0 or cache is StepCache.NONE:
        return Bounds(steps, steps, steps)
    low: float
    match cache:
        case StepCache.TAYLOR_SEER:
            passes = sum(_taylor_runs(step) for step in range(steps))
            return Bounds(passes, passes, passes)
        case StepCache.MAG:
            kept = min(steps, int(MAG_RETENTION_RATIO * steps + 0.5))
            # The first pass has nothing to reuse, whatever the retention.
            low = min(steps, max(kept, 1) + max(steps - max(kept, 1), 0) // (MAG_MOST_SKIPPED + 1))
        case _:
            low = 1.0 + (steps - 1) / layers  # the first block always runs
    expected = 1.0 + (steps - 1) * load_efficiency().cache[cache]
    return Bounds(low, max(expected, low), steps)


def _taylor_runs(step: int) -> bool:
    """As TaylorSeerCacheHook decides about step ``step`` of an expert."""
    return step < TAYLOR_WARM_UP or (step - TAYLOR_WARM_UP - 1) % TAYLOR_INTERVAL == 0


def held_bytes(model: Model, cache: StepCache, *, tokens: int, batch: int, passes: int, precision: Precision) -> int:
    """Device memory that the cache of the expert which computes holds between its passes.

    ``passes`` are those of one step: two with guidance, each with a cache of its own. The worker forgets the cache of
    the expert that is done, so the two never add up.
    """
    config = model.transformer.config
    width = config["num_attention_heads"] * config["attention_head_dim"]
    values = tokens * batch * passes
    match cache:
        case StepCache.FIRST_BLOCK:  # output and residual of the first block, residual of the others
            return int(3 * values * width * precision.bytes_per_parameter)
        case StepCache.MAG:  # input of the first block, residual of all
            return int(2 * values * width * precision.bytes_per_parameter)
        case StepCache.TAYLOR_SEER:  # factors of the projection, in 16 bit
            return int((TAYLOR_ORDER + 1) * values * math.prod(config["patch_size"]) * config["out_channels"] * 2)
    return 0
