"""What a file holds against what an architecture needs: names, shapes, number formats."""

from collections.abc import Iterable, Mapping

from wan_tui.core.validation.findings import Finding
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.validation.safetensors_header import Tensor, show

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
PLAIN = {"F32", "F16", "BF16"}
_NARROW = {"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"}
# Enough to name a pattern, few enough to read.
_NAMED = 3

Shapes = Mapping[str, tuple[int, ...]]


def some(names: Iterable[str]) -> str:
    """The first few of ``names``, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(show(name).strip("'") for name in names[:_NAMED]) + more


def compare_tensors(
    where: str,
    owner: str,
    expected: Shapes,
    tensors: Mapping[str, Tensor],
    aliases: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Missing, unknown and misshapen tensors of ``where``; ``owner`` is whose tensors were ``expected``."""
    aliases = aliases or {}
    tied = {**aliases, **{target: alias for alias, target in aliases.items()}}
    missing = [name for name in expected if name not in tensors and tied.get(name) not in tensors]
    unknown = [name for name in tensors if name not in expected]
    misshapen = [name for name in expected if name in tensors and tensors[name].shape != expected[name]]
    findings = []
    if missing:
        message = f"{len(missing)} of {len(expected)} tensors missing: {some(missing)}"
        findings.append(finding("WAN416", where, message))
    if unknown:
        findings.append(finding("WAN417", where, f"{len(unknown)} tensors that {owner} lacks: {some(unknown)}"))
    if misshapen:
        shapes = ", ".join(
            f"{name} is {show(list(tensors[name].shape))} instead of {list(expected[name])}"
            for name in misshapen[:_NAMED]
        )
        findings.append(finding("WAN418", where, f"{len(misshapen)} tensors of another shape: {shapes}"))
    return findings


def check_dtypes(where: str, expected: Shapes, tensors: Mapping[str, Tensor]) -> list[Finding]:
    """Tensors of a safetensors file in a number format that does not load, or loads widened."""
    findings = []
    foreign = [name for name in expected if name in tensors and tensors[name].dtype not in PLAIN | _NARROW]
    if foreign:
        kinds = ", ".join(sorted({tensors[name].dtype for name in foreign}))
        findings.append(finding("WAN419", where, f"{len(foreign)} tensors are {kinds}: {some(foreign)}"))
    narrow = [name for name in expected if name in tensors and tensors[name].dtype in _NARROW]
    if narrow:
        findings.append(finding("WAN420", where, f"{len(narrow)} tensors are stored as 8-bit floats"))
    return findings
