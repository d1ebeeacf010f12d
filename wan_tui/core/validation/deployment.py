"""Findings of one deployment: from its verdict, and from what lies on disk."""

from pathlib import Path

from wan_tui.core.catalog import Model
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.words import Verdict

_CODES = {
    Verdict.INCOMPATIBLE: "WAN001",
    Verdict.UNKNOWN: "WAN002",
    Verdict.TIGHT: "WAN003",
    Verdict.OFFLOAD_REQUIRED: "WAN004",
}


def deployment_findings(
    name: str, model: Model, compatibility: Compatibility, checkpoint: Path | None
) -> tuple[Finding, ...]:
    """What is wrong with a deployment now, worst first."""
    where = f"deployment {name}"
    findings = []
    if compatibility.verdict in _CODES:
        findings.append(finding(_CODES[compatibility.verdict], where, compatibility.reason))
    if model.weights == "checkpoint" and checkpoint is None:
        fix = f"download it: hf download {model.repository}"
        findings.append(finding("WAN005", where, f"no checkpoint of {model.id} on this host", fix))
    return worst_first(findings)
