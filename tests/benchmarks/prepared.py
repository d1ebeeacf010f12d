"""Loading a prepared bf16 transformer against loading the same weights as published, in fp32, in turns.

The network is the 5B transformer with fewer layers and random weights: about 2.1 GB in bf16, 4.2 GB in fp32, in shards.
Each load is a process of its own; imports are done before the clock starts. Mapping leaves reading for later, so a
second figure includes touching every weight once, as the first generation on a processor or the copy to a GPU does.
``python -m tests.benchmarks.prepared [RUNS]`` prints medians, peaks of memory and ratios.
"""

import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import save_file

from wan_tui.core.catalog import Component, load_catalogue
from wan_tui.core.catalog.tensors import expected_tensors
from wan_tui.core.words import Preparation
from wan_tui.worker.formats import prepared_formats
from wan_tui.worker.rewriting import Rewriting

LAYERS = 6
SHARD_BYTES = 1 << 30
POOL_VALUES = 4_194_301

LOAD = """
import json, sys, time
import torch
from diffusers import WanTransformer3DModel
def peak(): return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) << 10
base = peak()
started = time.perf_counter()
network = WanTransformer3DModel.from_pretrained(sys.argv[1], torch_dtype=torch.bfloat16, local_files_only=True)
loaded = time.perf_counter() - started
after = peak()
for weight in network.parameters():
    weight.detach().view(torch.uint8).view(-1)[::4096].sum()
print(json.dumps([loaded, after, time.perf_counter() - started, peak(), base]))
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Seconds and peak resident bytes of a load; the ``touched`` ones with every weight read once."""

    seconds: float
    peak_bytes: int
    touched_seconds: float
    touched_peak_bytes: int
    base_bytes: int


@dataclass(frozen=True, slots=True)
class Comparison:
    ours: Load
    theirs: Load
    bytes: int
    published_bytes: int

    @property
    def time_ratio(self) -> float:
        return self.ours.seconds / self.theirs.seconds

    @property
    def peak_ratio(self) -> float:
        return self.ours.peak_bytes / self.theirs.peak_bytes


def component() -> Component:
    """The transformer of the 5B model with fewer layers."""
    whole = load_catalogue().find("ti2v-5B").transformer
    return dataclasses.replace(whole, config=MappingProxyType({**whole.config, "num_layers": LAYERS}))


def write_published(folder: Path, network: Component) -> Path:
    """Random fp32 weights in shards with an index, as large models are published."""
    folder.mkdir()
    pool = torch.randn(POOL_VALUES, generator=torch.Generator().manual_seed(0)) * 0.02
    mapping, shards = {}, list(_shards(network))
    for number, shard in enumerate(shards, 1):
        name = f"diffusion_pytorch_model-{number:05}-of-{len(shards):05}.safetensors"
        tensors = {tensor: _filled(shape, pool) for tensor, shape in shard.items()}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        mapping |= dict.fromkeys(shard, name)
    index = {"metadata": {"total_size": 0}, "weight_map": mapping}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({"_class_name": network.class_name, **network.config}))
    return folder


def _shards(network: Component) -> Iterator[dict[str, tuple[int, ...]]]:
    shard: dict[str, tuple[int, ...]] = {}
    for name, shape in expected_tensors(network).items():
        shard[name] = shape
        if sum(4 * torch.Size(one).numel() for one in shard.values()) > SHARD_BYTES:
            yield shard
            shard = {}
    if shard:
        yield shard


def _filled(shape: tuple[int, ...], pool: torch.Tensor) -> torch.Tensor:
    count = torch.Size(shape).numel()
    return pool.repeat(-(-count // len(pool)))[:count].reshape(shape)


def write_prepared(folder: Path, published: Path, network: Component) -> Path:
    """What ``wan-tui prepare`` writes of a transformer."""
    folder.mkdir()
    for file in sorted(published.iterdir()):
        if file.suffix == ".safetensors":
            source = Rewriting.read(file)
            source.into(prepared_formats(network, Preparation.BF16, source.names)).write(
                folder / file.name, lambda written: None
            )
        else:
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def load(folder: Path) -> Load:
    run = subprocess.run([sys.executable, "-c", LOAD, str(folder)], capture_output=True, text=True, check=True)
    return Load(*json.loads(run.stdout.splitlines()[-1]))


def compare(runs: int) -> Comparison:
    """Medians of ``runs`` loads of each, one after the other."""
    with tempfile.TemporaryDirectory() as place:
        network = component()
        published = write_published(Path(place, "published"), network)
        prepared = write_prepared(Path(place, "prepared"), published, network)
        ours, theirs = [], []
        for _ in range(runs):
            ours.append(load(prepared))
            theirs.append(load(published))
        sizes = [sum(file.stat().st_size for file in folder.iterdir()) for folder in (prepared, published)]
    return Comparison(_median(ours), _median(theirs), *sizes)


def _median(loads: list[Load]) -> Load:
    columns = zip(*(dataclasses.astuple(one) for one in loads), strict=True)
    return Load(*(statistics.median(column) for column in columns))


def _line(name: str, one: Load) -> str:
    seconds = f"{one.seconds:7.2f} s, peak {one.peak_bytes / 1e9:5.2f} GB"
    touched = f"{one.touched_seconds:7.2f} s, peak {one.touched_peak_bytes / 1e9:5.2f} GB"
    return f"{name:<22} {seconds}; every weight read: {touched}\n"


if __name__ == "__main__":
    found = compare(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    sys.stdout.write(
        f"{found.published_bytes / 1e9:.1f} GB as published (fp32), {found.bytes / 1e9:.1f} GB prepared (bf16); "
        f"process before loading: {found.ours.base_bytes / 1e9:.2f} GB\n"
        + _line("prepared, mapped", found.ours)
        + _line("published, cast", found.theirs)
        + f"ratios: time {found.time_ratio:.3f}, peak {found.peak_ratio:.3f}; every weight read: "
        f"time {found.ours.touched_seconds / found.theirs.touched_seconds:.3f}, "
        f"peak {found.ours.touched_peak_bytes / found.theirs.touched_peak_bytes:.3f}\n"
    )
