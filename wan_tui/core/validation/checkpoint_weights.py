"""The weight files of one component: what would be loaded, and whether it is what the architecture needs."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from wan_tui.core.catalog import Component
from wan_tui.core.catalog.tensors import ALIASES, expected_tensors
from wan_tui.core.validation.checkpoint_files import CheckpointFolder
from wan_tui.core.validation.findings import Finding
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.validation.safetensors_header import (
    HEADERS_LIMIT_BYTES,
    Fault,
    Header,
    Tensor,
    clip,
    read_header,
    read_regular,
    show,
)
from wan_tui.core.validation.tensor_comparison import PICKLES, check_dtypes, compare_tensors, some

_SHARD_LIMIT = 256
_SAMPLES, _SAMPLE_BYTES = 16, 16 << 10


@dataclass(slots=True)
class Weights:
    """``files`` are the readable files of a component, in order, with their headers."""

    files: list[tuple[Path, Header]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    complete: bool = True

    def add(self, code: str, where: str, message: str, fix: str | None = None) -> None:
        self.findings.append(finding(code, where, message, fix))


def check_weights(folder: CheckpointFolder, role: str, component: Component) -> Weights:
    """Findings of the weight files in ``role``, a subfolder."""
    weights = Weights()
    try:
        shards, index = _shards(folder, role, component, weights)
    except Fault as fault:
        weights.add(fault.code, _index_name(role, component), fault.message)
        weights.complete = False
        return weights
    held = _read(folder, role, shards, weights)
    if index is not None and weights.complete:
        _check_index(role, component, index, held, weights)
    if weights.complete:
        _check_tensors(role, component, held, weights)
    return weights


def same_weights(first: Weights, second: Weights) -> bool:
    """Whether two components are the same files, or equal in size, header and samples of every file."""
    if not (first.complete and second.complete) or len(first.files) != len(second.files):
        return False
    return all(_same_file(*pair) for pair in zip(first.files, second.files, strict=True))


def weight_files(folder: CheckpointFolder, role: str, component: Component) -> list[str]:
    """Files that hold the weights of a component, there or not: the shards of its index, or the single file."""
    try:
        shards, _ = _shards(folder, role, component, Weights())
    except Fault:
        return [_index_name(role, component)]  # which shards it would name, nobody can tell
    return [f"{role}/{shard}" for shard in shards or [f"{_base(component)}.safetensors"]]


def _base(component: Component) -> str:
    return "model" if component.class_name == "UMT5EncoderModel" else "diffusion_pytorch_model"


def _index_name(role: str, component: Component) -> str:
    return f"{role}/{_base(component)}.safetensors.index.json"


def _shards(
    folder: CheckpointFolder, role: str, component: Component, weights: Weights
) -> tuple[list[str], dict[str, str] | None]:
    """Names of the files that would be loaded, and the index's map when there is one. Raises Fault."""
    single = f"{_base(component)}.safetensors"
    names = folder.names(role)
    index_file = _index_name(role, component)
    has_index = index_file.rpartition("/")[2] in names
    # transformers prefers the single file, diffusers the index.
    prefers_single = component.class_name == "UMT5EncoderModel" and single in names
    pickles = [name for name in names if name.lower().endswith(PICKLES)]
    if pickles and (single in names or has_index):
        weights.add("WAN411", role, f"{some(pickles)} beside the safetensors files")
    if has_index and not prefers_single:
        mapping = _weight_map(folder.json(index_file))
        return sorted(set(mapping.values())), mapping
    if single in names:
        return [single], None
    weights.complete = False
    if pickles:
        weights.add("WAN410", role, f"only {some(pickles)}, no {single}")
    else:
        weights.add("WAN408", role, f"neither {single} nor its index is there")
    return [], None


def _weight_map(index: dict[str, object] | None) -> dict[str, str]:
    mapping = None if index is None else index.get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise Fault("WAN402", "has no weight_map")
    for shard in mapping.values():
        if not isinstance(shard, str) or not shard:
            raise Fault("WAN402", f"weight_map names {show(shard)} as a file")
        if "/" in shard or "\\" in shard or shard.startswith("..") or not shard.isprintable():
            raise Fault("WAN409", f"weight_map names {show(shard)}, which leads out of the folder")
        if shard.lower().endswith(PICKLES):
            raise Fault("WAN410", f"weight_map names the pickle file {show(shard)}")
        if not shard.endswith(".safetensors"):
            raise Fault("WAN402", f"weight_map names {show(shard)}, which is not a safetensors file")
    if len(set(mapping.values())) > _SHARD_LIMIT:
        raise Fault("WAN402", f"lists {len(set(mapping.values()))} shards, more than {_SHARD_LIMIT}")
    return mapping


def _read(folder: CheckpointFolder, role: str, shards: list[str], weights: Weights) -> dict[str, dict[str, Tensor]]:
    """The tensors of each readable shard."""
    held: dict[str, dict[str, Tensor]] = {}
    missing, budget = [], HEADERS_LIMIT_BYTES
    for shard in shards:
        try:
            path = folder.file(f"{role}/{shard}")
            if path is None:
                missing.append(shard)
                continue
            header = read_header(path, max(budget, 0))
        except Fault as fault:
            budget -= fault.read_bytes
            weights.add(fault.code, f"{role}/{shard}", fault.message)
        except OSError as error:
            weights.add("WAN402", f"{role}/{shard}", f"cannot be read: {clip(error)}")
        else:
            budget -= header.start
            held[shard] = header.tensors
            weights.files.append((path, header))
    if missing:
        weights.add("WAN408", role, f"{len(missing)} of {len(shards)} files missing: {some(missing)}")
    weights.complete = weights.complete and len(held) == len(shards)
    return held


def _check_index(
    role: str, component: Component, index: dict[str, str], held: dict[str, dict[str, Tensor]], weights: Weights
) -> None:
    homes: dict[str, str] = {}
    twice, astray = [], []
    for shard, tensors in held.items():
        for name in tensors:
            if name in homes:
                twice.append(name)
            homes.setdefault(name, shard)
            if index.get(name) != shard:
                astray.append(name)
    where = _index_name(role, component)
    absent = [name for name in index if name not in homes]
    if twice:
        weights.add("WAN415", where, f"{len(twice)} tensors in two shards: {some(twice)}")
    elif astray or absent:
        parts = [f"{len(astray)} tensors are not where it says: {some(astray)}"] if astray else []
        parts += [f"{len(absent)} tensors that it lists are in no shard: {some(absent)}"] if absent else []
        weights.add("WAN415", where, "; ".join(parts))


def _check_tensors(role: str, component: Component, held: dict[str, dict[str, Tensor]], weights: Weights) -> None:
    tensors = {name: tensor for shard in held.values() for name, tensor in shard.items()}
    expected, name = expected_tensors(component), component.class_name
    weights.findings += compare_tensors(role, name, expected, tensors, ALIASES.get(name))
    weights.findings += check_dtypes(role, expected, tensors)


def _same_file(first: tuple[Path, Header], second: tuple[Path, Header]) -> bool:
    (one, header), (other, other_header) = first, second
    try:
        if os.path.samefile(one, other):
            return True
        if header != other_header:
            return False
        weights_bytes = header.size - header.start
        step = max(weights_bytes // _SAMPLES, _SAMPLE_BYTES)
        places = range(header.start, header.size, step)
        return all(
            read_regular(one, place, _SAMPLE_BYTES) == read_regular(other, place, _SAMPLE_BYTES) for place in places
        )
    except OSError:
        return False
