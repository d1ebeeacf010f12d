"""Whether a single file holds the transformer of a model, judged from its header alone.

Such files are safetensors or GGUF, with the tensor names of diffusers or of the original Wan layout.
No weight is read, and no content of a file raises: it becomes a finding.
"""

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wan_tui.core.catalog import Model
from wan_tui.core.catalog.original_names import PREFIX, original_name
from wan_tui.core.catalog.tensors import expected_tensors
from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.validation.gguf_header import read_gguf_header
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.validation.safetensors_header import Fault, Tensor, clip, read_header, show
from wan_tui.core.validation.tensor_comparison import PICKLES, check_dtypes, compare_tensors, some
from wan_tui.core.words import Quantization

# The rules that speak of a single file; the others of the group are of folders and of checksums.
CODES = (
    *("WAN410", "WAN412", "WAN413", "WAN414", "WAN416", "WAN417", "WAN418", "WAN419", "WAN420"),
    *("WAN422", "WAN423", "WAN424", "WAN425", "WAN426"),
)
SUFFIXES = (".safetensors", ".gguf")
_ARCHITECTURE = "wan"
# Found in every file with diffusers' names, and in no other.
_DIFFUSERS_MARK = "condition_embedder."
# Last parts of names that repackaged 8-bit files add.
_SCALES = {"scale_weight", "scale_input", "weight_scale", "input_scale", "scaled_fp8", "comfy_quant"}
# What diffusers keeps as it is, and what it widens when a linear layer computes.
_UNQUANTISED = {"F32", "F16"}
_WIDENED = {
    *("BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS"),
}
_QUANTIZATIONS = {
    **{"Q8_0": Quantization.Q8_0, "Q6_K": Quantization.Q6_K, "Q2_K": Quantization.Q2_K, "Q3_K": Quantization.Q3_K_M},
    **dict.fromkeys(("Q5_K", "Q5_0", "Q5_1"), Quantization.Q5_K_M),
    **dict.fromkeys(("Q4_K", "Q4_0", "Q4_1", "IQ4_NL", "IQ4_XS"), Quantization.Q4_K_M),
}
# Modules that diffusers widens on loading, since it keeps them in fp32.
_KEPT_IN_FP32 = {"time_embedder", "scale_shift_table", "norm1", "norm2", "norm3"}


@dataclass(frozen=True, slots=True)
class TransformerFile:
    """The tensors of a file under its own names, but for the prefix of repackaged files."""

    tensors: Mapping[str, Tensor]
    original_layout: bool
    gguf: bool
    architecture: str | None = None

    def name(self, diffusers_name: str) -> str:
        """What this file calls a tensor of the transformer."""
        return original_name(diffusers_name) if self.original_layout else diffusers_name


def is_transformer_file(path: Path) -> bool:
    """Whether ``path`` is to be judged as a single file, not as a checkpoint folder."""
    return path.is_file() or (path.suffix.lower() in SUFFIXES and not path.is_dir())


def read_transformer(path: Path) -> TransformerFile:
    """What the header of ``path`` says; a link is followed. Raises Fault."""
    name = path.name.lower()
    if name.endswith(PICKLES):
        raise Fault("WAN410", "is a pickle file by its name")
    if not name.endswith(SUFFIXES):
        raise Fault("WAN422", f"ends in neither {' nor '.join(SUFFIXES)}")
    try:
        if name.endswith(".gguf"):
            header = read_gguf_header(path)
            return _file(header.tensors, gguf=True, architecture=header.architecture)
        return _file(read_header(path).tensors, gguf=False)
    except (OSError, ValueError) as error:
        raise Fault("WAN422", f"cannot be read: {clip(error)}") from None


def check_transformer_file(path: Path, model: Model) -> tuple[Finding, ...]:
    """What is wrong with ``path`` as a transformer of ``model``, worst first."""
    where = show(path.name).strip("'")
    try:
        file = read_transformer(path)
    except Fault as fault:
        return (finding(fault.code, where, fault.message),)
    needed = expected_tensors(model.transformer)
    names = {file.name(name): name for name in needed}
    expected = {name: needed[known] for name, known in names.items()}
    findings = _scales(where, file)
    weights = {name: tensor for name, tensor in file.tensors.items() if not _is_scale(name)}
    findings += compare_tensors(where, model.transformer.class_name, expected, weights)
    if file.gguf:
        findings += _architecture(where, file) + _quantisation(where, names, weights)
    else:
        findings += check_dtypes(where, expected, weights)
    if model.experts > 1:
        message = f"holds one transformer; whether the high-noise or the low-noise one of {model.id} it does not say"
        findings.append(finding("WAN426", where, message))
    return worst_first(findings)


def stored_quantization(path: Path) -> Quantization | None:
    """How most of the weights of a GGUF file are stored; None for a file of another kind, or that cannot be read.

    Mixed files go by the most frequent of their types: ``q4_k_m`` is mostly Q4_K, with some Q6_K.
    """
    if path.suffix.casefold() != ".gguf":
        return None
    try:
        facts = path.stat()
        return _stored_quantization(path, facts.st_size, facts.st_mtime_ns)
    except (Fault, OSError):
        return None


def files_quantization(files: Mapping[str, Path | None]) -> Quantization | None:
    """What a plan for ``files`` (by role) has to take: of two kinds the one that needs more memory."""
    found = {kind for file in files.values() if file is not None and (kind := stored_quantization(file)) is not None}
    return min(found, key=list(Quantization).index, default=None)


@functools.lru_cache(maxsize=64)
def _stored_quantization(path: Path, _size: int, _mtime_ns: int) -> Quantization:
    values: dict[Quantization, int] = {}
    for tensor in read_transformer(path).tensors.values():
        if len(tensor.shape) == 2:
            kind = _QUANTIZATIONS.get(tensor.dtype, Quantization.NONE)
            values[kind] = values.get(kind, 0) + math.prod(tensor.shape)
    return max(values, key=lambda kind: values[kind], default=Quantization.NONE)


def _file(tensors: Mapping[str, Tensor], *, gguf: bool, architecture: str | None = None) -> TransformerFile:
    if any(name.startswith(_DIFFUSERS_MARK) for name in tensors):
        return TransformerFile(tensors, original_layout=False, gguf=gguf, architecture=architecture)
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if (short := name.removeprefix(PREFIX)) in plain:
            raise Fault("WAN413", f"names {show(short)} twice, with and without {PREFIX}")
        plain[short] = tensor
    return TransformerFile(plain, original_layout=True, gguf=gguf, architecture=architecture)


def _is_scale(name: str) -> bool:
    return name.rpartition(".")[2] in _SCALES


def _scales(where: str, file: TransformerFile) -> list[Finding]:
    scales = [name for name in file.tensors if _is_scale(name)]
    return [finding("WAN425", where, f"{len(scales)} scales: {some(scales)}")] if scales else []


def _architecture(where: str, file: TransformerFile) -> list[Finding]:
    if file.architecture in (None, _ARCHITECTURE):
        return []
    return [finding("WAN423", where, f"general.architecture is {show(file.architecture)}, not '{_ARCHITECTURE}'")]


def _quantisation(where: str, names: Mapping[str, str], tensors: Mapping[str, Tensor]) -> list[Finding]:
    held = {name: tensors[name] for name in names if name in tensors}
    foreign = [name for name, tensor in held.items() if tensor.dtype not in _UNQUANTISED | _WIDENED]
    stuck = [name for name, tensor in held.items() if tensor.dtype in _WIDENED and not _is_widened(names[name], tensor)]
    findings = []
    if foreign:
        findings.append(_quantised(where, f"are {_kinds(held, foreign)}, which the loader does not know", foreign))
    if stuck:
        findings.append(_quantised(where, f"are {_kinds(held, stuck)}, but only matrices may be", stuck))
    return findings


def _is_widened(name: str, tensor: Tensor) -> bool:
    return (len(tensor.shape) == 2 and name.endswith(".weight")) or not _KEPT_IN_FP32.isdisjoint(name.split("."))


def _kinds(held: Mapping[str, Tensor], names: Iterable[str]) -> str:
    return ", ".join(sorted({held[name].dtype for name in names}))


def _quantised(where: str, what: str, names: list[str]) -> Finding:
    return finding("WAN424", where, f"{len(names)} tensors {what}: {some(names)}")
