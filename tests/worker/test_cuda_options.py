"""Every execution option that needs a GPU, on the pocket model: what it makes is held against fp32 on the processor.

Run with ``pytest -m gpu`` on a host with CUDA; everywhere else each test says that it is skipped and why.
"""

import dataclasses
import gc
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.worker.runs import load, made, run, write_gguf
from tests.worker.test_options import psnr
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.words import AttentionBackend, OffloadMode, Precision, Quantization, StepCache
from wan_tui.worker.failures import needed_bytes
from wan_tui.worker.faults import fill_device
from wan_tui.worker.load import LoadedModel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device and a CUDA build of torch"),
]

BF16 = {"precision": Precision.BF16}
STREAM = {"offload_stream": True}


def gpu_plan() -> ExecutionPlan:
    """Everything resident in bf16 on the first GPU, the VAE in fp32: what the planner begins with."""
    return dataclasses.replace(cpu_plan(), device="gpu:0", gpu_uuid="GPU-0", **BF16)


def on_gpu(folder: Path, **changes: Any) -> LoadedModel:
    return load(folder, base=gpu_plan(), **changes)


def needs(module: str) -> Any:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def capability(major: int, minor: int) -> Any:
    """Skips cards of an older compute capability."""
    enough = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (major, minor)
    return pytest.mark.skipif(not enough, reason=f"needs compute capability {major}.{minor}")


@pytest.fixture(scope="module")
def plain(pocket_cache: Path) -> np.ndarray:
    """The processor's frames in fp32."""
    return made(load(pocket_cache))


@pytest.fixture(scope="module")
def resident(pocket_cache: Path) -> np.ndarray:
    """The GPU's frames in bf16 with every weight resident: what moving weights must not change."""
    return made(on_gpu(pocket_cache))


@pytest.mark.parametrize(
    ("changes", "floor"),
    [
        pytest.param({"precision": Precision.FP32}, 45, id="fp32"),
        pytest.param({}, 40, id="bf16"),
        pytest.param({"precision": Precision.FP16}, 45, id="fp16"),
        pytest.param({"quantization": Quantization.FP8}, 35, id="fp8 storage", marks=capability(8, 9)),
        pytest.param({"quantization": Quantization.INT8}, 40, id="int8", marks=needs("torchao")),
        pytest.param({"quantization": Quantization.INT4}, 25, id="int4", marks=needs("torchao")),
        pytest.param({"quantization": Quantization.NF4}, 25, id="nf4", marks=needs("bitsandbytes")),
        pytest.param({"text_encoder_quantization": Quantization.NF4}, 25, id="nf4 text", marks=needs("bitsandbytes")),
        pytest.param({"vae_precision": Precision.BF16}, 35, id="VAE in bf16"),
        pytest.param(
            {"attention": AttentionBackend.FLASH}, 40, id="flash", marks=[needs("flash_attn"), capability(8, 0)]
        ),
        pytest.param({"attention": AttentionBackend.XFORMERS}, 40, id="xformers", marks=needs("xformers")),
        pytest.param(
            {"attention": AttentionBackend.SAGE}, 30, id="sage", marks=[needs("sageattention"), capability(8, 0)]
        ),
    ],
)
def test_the_frames_are_those_of_the_processor_but_for_what_the_option_costs(
    pocket_cache: Path, plain: np.ndarray, changes: dict[str, Any], floor: float
) -> None:
    assert psnr(made(on_gpu(pocket_cache, **changes)), plain) >= floor


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_weights_of_a_gguf_file(tmp_path: Path, pocket_cache: Path, plain: np.ndarray, kind: str) -> None:
    high, low = write_gguf(pocket_cache, tmp_path, kind)
    stored = Quantization.Q8_0 if kind == "Q8_0" else Quantization.Q4_K_M
    loaded = on_gpu(pocket_cache, quantization=stored, transformer=str(high), transformer_2=str(low))
    assert psnr(made(loaded), plain) >= 35


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"offload": OffloadMode.MODEL}, id="model offload"),
        pytest.param({"offload": OffloadMode.SEQUENTIAL}, id="sequential offload"),
        pytest.param({"offload": OffloadMode.GROUP_BLOCK}, id="block offload"),
        pytest.param({"offload": OffloadMode.GROUP_LEAF}, id="leaf offload"),
        pytest.param({"offload": OffloadMode.GROUP_BLOCK, **STREAM}, id="block offload with a stream"),
        pytest.param({"offload": OffloadMode.GROUP_LEAF, **STREAM}, id="leaf offload with a stream"),
        pytest.param({"vae_tiling": True}, id="tiling of one tile"),
        pytest.param({"vae_slicing": True}, id="slicing of one clip"),
    ],
)
def test_moving_weights_changes_nothing(pocket_cache: Path, resident: np.ndarray, changes: dict[str, Any]) -> None:
    """Kernels of a GPU may choose another order of sums between runs: not bit for bit, but next to it."""
    loaded = on_gpu(pocket_cache, **changes)
    first, second = run(loaded), run(loaded)
    assert psnr(first.frames, resident) >= 55
    assert psnr(second.frames, resident) >= 55, "the second run finds every weight where it belongs"


def test_the_text_encoder_computes_on_the_host(pocket_cache: Path, resident: np.ndarray) -> None:
    loaded = on_gpu(pocket_cache, text_encoder_on_cpu=True)
    assert psnr(made(loaded), resident) >= 35
    assert {weight.device.type for weight in loaded.pipeline.text_encoder.parameters()} == {"cpu"}
    assert {weight.device.type for weight in loaded.pipeline.transformer.parameters()} == {"cuda"}


@pytest.mark.parametrize("offload", [OffloadMode.MODEL, OffloadMode.SEQUENTIAL, OffloadMode.GROUP_LEAF])
def test_offloaded_weights_leave_the_device_after_a_run(pocket_cache: Path, offload: OffloadMode) -> None:
    loaded = on_gpu(pocket_cache, offload=offload)
    run(loaded)
    assert "cuda" not in {weight.device.type for weight in loaded.pipeline.transformer.parameters()}


@pytest.mark.parametrize("cache", [StepCache.FIRST_BLOCK, StepCache.TAYLOR_SEER, StepCache.MAG])
def test_step_caches(pocket_cache: Path, cache: StepCache) -> None:
    plain = made(on_gpu(pocket_cache), steps=12)
    loaded = on_gpu(pocket_cache, cache=cache)
    for _ in range(2):  # MagCache measures in the first
        assert psnr(made(loaded, steps=12), plain) >= 25


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="resident"),
        pytest.param({"offload": OffloadMode.MODEL}, id="model offload"),
        pytest.param({"offload": OffloadMode.GROUP_BLOCK, **STREAM}, id="block offload with a stream"),
        pytest.param({"quantization": Quantization.FP8}, id="fp8 storage", marks=capability(8, 9)),
        pytest.param({"cache": StepCache.TAYLOR_SEER}, id="TaylorSeer"),
    ],
)
@needs("triton")
def test_compiled_blocks(pocket_cache: Path, resident: np.ndarray, changes: dict[str, Any]) -> None:
    torch._dynamo.reset()
    loaded = on_gpu(pocket_cache, compile=True, **changes)
    first, second = run(loaded), run(loaded)
    assert psnr(first.frames, resident) >= 25
    assert first.finished.compile_seconds > 0
    assert second.finished.compile_seconds == 0


def test_videos_made_at_once(pocket_cache: Path, resident: np.ndarray) -> None:
    found = run(on_gpu(pocket_cache), videos=2)
    assert psnr(found.clips[0], resident) >= 35
    assert psnr(found.clips[0], found.clips[1]) < 35


def test_unloading_gives_the_memory_back(pocket_cache: Path) -> None:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    loaded = on_gpu(pocket_cache)
    run(loaded)
    assert torch.cuda.memory_allocated() > before
    del loaded
    gc.collect()
    torch.cuda.empty_cache()
    # cuBLAS keeps its workspace for as long as the process lives.
    assert torch.cuda.memory_allocated() - before < 64 << 20


def test_a_filled_device_has_nothing_left_and_torch_says_what_it_held() -> None:
    try:
        filling = fill_device()
        with pytest.raises(torch.OutOfMemoryError) as raised:
            torch.empty(1, device="cuda")
        assert needed_bytes(str(raised.value)) is not None
        del filling
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
