"""Judging a true-size checkpoint by its headers, against loading the pocket model with diffusers, in turns.

The checkpoint is t2v-A14B in bf16 (two experts of 28.6 GB, text encoder of 11.4 GB, VAE), made as sparse files with
real headers. ``python -m tests.benchmarks.validation [RUNS]`` prints the medians, their ratio and the bytes read.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.core.validation.checkpoint_parts import write_true_size
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.validation.checkpoint import check_checkpoint
from wan_tui.worker.pocket import ensure_pocket

LOAD = """
import sys, time
import torch
from diffusers import WanPipeline
started = time.perf_counter()
WanPipeline.from_pretrained(sys.argv[1], torch_dtype=torch.float32)
print(time.perf_counter() - started)
"""


def bytes_read() -> int:
    """Bytes that this process has read so far, from the cache or not."""
    return int(Path("/proc/self/io").read_text().split()[1])


def check_seconds(folder: Path) -> tuple[float, int]:
    """Seconds and bytes read of one check."""
    before, started = bytes_read(), time.perf_counter()
    findings = check_checkpoint(folder, load_catalogue().find("t2v-A14B"))
    seconds, read = time.perf_counter() - started, bytes_read() - before
    assert findings == (), findings
    return seconds, read


def load_seconds(folder: Path) -> float:
    """Seconds of ``from_pretrained`` alone: the imports, which take longer, are done before."""
    run = subprocess.run([sys.executable, "-c", LOAD, str(folder)], capture_output=True, text=True, check=True)
    return float(run.stdout.split()[-1])


def compare(runs: int) -> tuple[float, float, float, int, int]:
    """Median seconds of check and load, median ratio of neighbours, bytes read, bytes of the checkpoint."""
    with tempfile.TemporaryDirectory() as place:
        full = write_true_size(Path(place, "full"), load_catalogue().find("t2v-A14B"))
        pocket = ensure_pocket(load_catalogue().find("t2v-pocket"), Path(place, "cache"))
        size = sum(path.stat().st_size for path in full.rglob("*.safetensors"))
        checks, loads, read = [], [], 0
        for _ in range(runs):
            seconds, read = check_seconds(full)
            checks.append(seconds)
            loads.append(load_seconds(pocket))
    ratios = [ours / theirs for ours, theirs in zip(checks, loads, strict=True)]
    return statistics.median(checks), statistics.median(loads), statistics.median(ratios), read, size


if __name__ == "__main__":
    ours, theirs, ratio, read, size = compare(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    sys.stdout.write(
        f"check of {size / 1e9:.1f} GB: {ours:.3f} s, {read / 1e6:.2f} MB read\n"
        f"from_pretrained of the pocket model (1 MB): {theirs:.3f} s\nratio: {ratio:.2f}\n"
    )
