"""Execution options in a process of their own: each loads the pocket model, runs, and is held against the processor.

``python -m tests.gpu.options --device gpu:0 NAME…`` prints a JSON line for each.
"""

import argparse
import gc
import importlib.util
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.words import AttentionBackend, OffloadMode, Precision, Quantization, StepCache

STREAM = {"offload_stream": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Changes to the plain plan, the floor of the PSNR against fp32 on the processor in dB, and what it needs.

    A step cache takes more ``steps`` to have any effect.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    floor: float = 35.0
    module: str | None = None
    capability: tuple[int, int] = (0, 0)
    steps: int = 4
    on_cpu: bool = False


OPTIONS: Mapping[str, Option] = {
    "plain": Option(on_cpu=True),
    "fp16": Option(changes={"precision": Precision.FP16}, on_cpu=True),
    "bf16": Option(changes={"precision": Precision.BF16}, on_cpu=True),
    "fp8": Option(changes={"quantization": Quantization.FP8}, capability=(8, 9), on_cpu=True),
    "int8": Option(changes={"quantization": Quantization.INT8}, module="torchao", on_cpu=True),
    "int4": Option(changes={"quantization": Quantization.INT4}, floor=25, module="torchao", on_cpu=True),
    "nf4": Option(changes={"quantization": Quantization.NF4}, floor=25, module="bitsandbytes"),
    "nf4 text encoder": Option(
        changes={"text_encoder_quantization": Quantization.NF4}, floor=25, module="bitsandbytes"
    ),
    "model offload": Option(changes={"offload": OffloadMode.MODEL}),
    "sequential offload": Option(changes={"offload": OffloadMode.SEQUENTIAL}),
    "block offload": Option(changes={"offload": OffloadMode.GROUP_BLOCK}, on_cpu=True),
    "leaf offload": Option(changes={"offload": OffloadMode.GROUP_LEAF}, on_cpu=True),
    "block offload, stream": Option(changes={"offload": OffloadMode.GROUP_BLOCK, **STREAM}),
    "leaf offload, stream": Option(changes={"offload": OffloadMode.GROUP_LEAF, **STREAM}),
    "text encoder on the host": Option(changes={"text_encoder_on_cpu": True}, on_cpu=True),
    "VAE tiling": Option(changes={"vae_tiling": True}, on_cpu=True),
    "VAE slicing": Option(changes={"vae_slicing": True}, on_cpu=True),
    "first-block cache": Option(changes={"cache": StepCache.FIRST_BLOCK}, floor=25, steps=12, on_cpu=True),
    "TaylorSeer": Option(changes={"cache": StepCache.TAYLOR_SEER}, floor=25, steps=12, on_cpu=True),
    "MagCache": Option(changes={"cache": StepCache.MAG}, floor=25, steps=12, on_cpu=True),
    "flash": Option(changes={"attention": AttentionBackend.FLASH}, module="flash_attn", capability=(8, 0)),
    "xformers": Option(changes={"attention": AttentionBackend.XFORMERS}, module="xformers"),
    "sage": Option(changes={"attention": AttentionBackend.SAGE}, floor=28, module="sageattention", capability=(8, 0)),
    "compile": Option(changes={"compile": True}, floor=30, module="triton"),
}


def plan_on(device: str, changes: Mapping[str, Any]) -> ExecutionPlan:
    """The plain plan (bf16 weights on a GPU, fp32 on a processor, a VAE in fp32) with ``changes``."""
    plan = cpu_plan()
    if device != "cpu":
        plan = replace(plan, device=device, gpu_uuid=device, precision=Precision.BF16)
    return replace(plan, **changes)


def unable(option: Option, device: str) -> str | None:
    """Why this host cannot try the option, or None."""
    if device == "cpu":
        return None if option.on_cpu else "needs a CUDA device"
    import torch

    if option.module is not None and importlib.util.find_spec(option.module) is None:
        return f"{option.module} is not installed"
    if torch.cuda.get_device_capability() < option.capability:
        return f"needs compute capability {'.'.join(map(str, option.capability))}"
    return None


def main() -> int:
    """Exit status 0 whatever the options did: each line says how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.options")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("names", nargs="*", metavar="NAME", help="one of the options; all without")
    given = parser.parse_args()
    import torch

    from tests.worker.runs import load, made, run

    reference = load(given.cache)
    plain = {steps: made(reference, steps=steps) for steps in sorted({one.steps for one in OPTIONS.values()})}
    for name in given.names or OPTIONS:
        option = OPTIONS[name]
        said: dict[str, Any] = {"name": name}
        began = time.monotonic()
        if (why := unable(option, given.device)) is not None:
            said |= {"outcome": "skipped", "says": why}
        else:
            try:
                if given.device != "cpu":
                    torch.cuda.reset_peak_memory_stats()
                loaded = load(given.cache, base=plan_on(given.device, option.changes))
                found, again = (run(loaded, steps=option.steps) for _ in range(2))
                ratio = min(_psnr(one.frames, plain[option.steps]) for one in (found, again))
                said["detail"] = {
                    "psnr_decibel": None if math.isinf(ratio) else round(ratio, 2),
                    "floor_decibel": option.floor,
                    "first_seconds": found.finished.seconds,
                    "again_seconds": again.finished.seconds,
                    "compile_seconds": found.finished.compile_seconds,
                }
                if given.device != "cpu":
                    said["detail"]["peak_bytes"] = torch.cuda.max_memory_allocated()
                said["outcome"] = "passed" if ratio >= option.floor else "failed"
                said["says"] = f"{ratio:.1f} dB, the floor is {option.floor:g}"
            except Exception as error:  # one option that fails must not hide the others
                said |= {"outcome": "failed", "says": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
            loaded = found = again = None  # type: ignore[assignment]
            gc.collect()
            if given.device != "cpu":
                torch.cuda.empty_cache()
        said["seconds"] = round(time.monotonic() - began, 3)
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
    return 0


def _psnr(made: Any, plain: Any) -> float:
    from tests.worker.test_options import psnr

    return psnr(made, plain)


if __name__ == "__main__":
    raise SystemExit(main())
