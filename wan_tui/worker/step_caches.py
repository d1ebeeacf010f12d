"""The step cache of a plan, switched on in the transformers as each run needs it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import diffusers

from wan_tui.core import atomic
from wan_tui.core.planning import step_cache
from wan_tui.core.words import Phase, StepCache

# Names under which diffusers keeps MagCache's hook on every block but the first.
_MAG_HOOK = "mag_cache_block_hook"
# How many times as many steps a run may have than the one in which MagCache measured.
MOST_STRETCHED = 2


class StepCaches:
    """Sets a cache up for runs. MagCache needs to know how much the residuals of these very weights change from step
    to step: its first run computes everything and measures it, and ``ratios_file`` keeps it for later loads."""

    def __init__(self, kind: StepCache = StepCache.NONE, ratios_file: Path | None = None) -> None:
        self._kind = kind
        self._file = ratios_file
        self._ratios: dict[Phase, list[float]] = _read(ratios_file) if kind is StepCache.MAG else {}
        self._configs: dict[int, tuple[Any, ...]] = {}
        self.measuring: tuple[Phase, ...] = ()

    def prepare(self, experts: Mapping[Phase, tuple[Any, int]]) -> None:
        """Before a run: ``experts`` are the transformers by phase, with the number of steps that each takes.

        Afterwards ``measuring`` names the phases in which MagCache will skip nothing, since it measures.
        """
        self.measuring = ()
        if self._kind is StepCache.NONE:
            return
        for phase, (expert, steps) in experts.items():
            if not steps:
                continue
            if self._kind is StepCache.MAG and steps > MOST_STRETCHED * len(self._ratios.get(phase, ())):
                self._ratios.pop(phase, None)
                self.measuring = (*self.measuring, phase)
            self._enable(expert, phase, steps)

    def _enable(self, expert: Any, phase: Phase, steps: int) -> None:
        ratios = self._ratios.get(phase)
        key = (steps, tuple(ratios) if ratios else None) if self._kind is StepCache.MAG else ()
        if expert.is_cache_enabled and self._configs.get(id(expert)) == key:
            return
        if expert.is_cache_enabled:
            expert.disable_cache()
        expert.enable_cache(self._config(steps, ratios))
        self._configs[id(expert)] = key

    def _config(self, steps: int, ratios: list[float] | None) -> Any:
        match self._kind:
            case StepCache.FIRST_BLOCK:
                return diffusers.FirstBlockCacheConfig(threshold=step_cache.FIRST_BLOCK_THRESHOLD)
            case StepCache.TAYLOR_SEER:
                return diffusers.TaylorSeerCacheConfig(
                    cache_interval=step_cache.TAYLOR_INTERVAL,
                    disable_cache_before_step=step_cache.TAYLOR_WARM_UP,
                    max_order=step_cache.TAYLOR_ORDER,
                    use_lite_mode=True,
                )
        # One step more than there are, so that the hook neither prints what it measured nor throws it away.
        measured = {"calibrate": True, "num_inference_steps": steps + 1} if ratios is None else {}
        return diffusers.MagCacheConfig(
            threshold=step_cache.MAG_THRESHOLD,
            max_skip_steps=step_cache.MAG_MOST_SKIPPED,
            retention_ratio=step_cache.MAG_RETENTION_RATIO,
            **({"num_inference_steps": steps, "mag_ratios": list(ratios)} if ratios else measured),
        )

    def done(self, expert: Any, phase: Phase) -> None:
        """After the last step of ``expert``: keep what was measured, and let go of the memory of its cache."""
        if self._kind is StepCache.NONE:
            return
        if phase in self.measuring and (ratios := _measured(expert)):
            self._ratios[phase] = ratios
            self._keep()
        expert._reset_stateful_cache()

    def _keep(self) -> None:
        if self._file is None:
            return
        with suppress(OSError):  # then the next load measures again
            self._file.parent.mkdir(parents=True, exist_ok=True)
            atomic.replace(self._file, json.dumps(self._ratios).encode())


def _measured(expert: Any) -> list[float]:
    """Ratios of the passes with the prompt: those without it follow the same curve."""
    states = expert.blocks[-1]._diffusers_hook.get_hook(_MAG_HOOK).state_manager._state_cache
    return [round(ratio, 5) for ratio in states["cond"].calibration_ratios]


def _read(file: Path | None) -> dict[Phase, list[float]]:
    """What an earlier load kept; nothing when it cannot be read: then it is measured again."""
    if file is None:
        return {}
    try:
        kept = json.loads(file.read_bytes())
        return dict(_checked(kept))
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _checked(kept: Any) -> Iterator[tuple[Phase, list[float]]]:
    for phase, ratios in kept.items():
        if not ratios or not all(isinstance(ratio, float) and 0 < ratio < 100 for ratio in ratios):
            raise ValueError("not ratios")
        yield Phase(phase), ratios
