"""Findings of one deployment: from its verdict, and from what lies on disk."""

from pathlib import Path

from wan_tui.core.catalog import Model
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.validation.findings import Finding
from wan_tui.core.words import Severity, Verdict

_VERDICTS = {
    Verdict.INCOMPATIBLE: (
        "WAN001",
        Severity.ERROR,
        "choose a smaller model, a device with more memory, or a host with more memory for offload",
    ),
    Verdict.UNKNOWN: ("WAN002", Severity.WARNING, "see that the driver answers: nvidia-smi"),
    Verdict.TIGHT: ("WAN003", Severity.WARNING, "use fewer frames or a smaller size, or free memory on the device"),
    Verdict.OFFLOAD_REQUIRED: ("WAN004", Severity.INFO, "nothing to mend: slower than resident, as planned"),
}


def deployment_findings(
    name: str, model: Model, compatibility: Compatibility, checkpoint: Path | None
) -> tuple[Finding, ...]:
    """What is wrong with a deployment now, worst first."""
    where = f"deployment {name}"
    findings = []
    if compatibility.verdict in _VERDICTS:
        code, severity, fix = _VERDICTS[compatibility.verdict]
        findings.append(Finding(code=code, severity=severity, where=where, message=compatibility.reason, fix=fix))
    if model.weights == "checkpoint" and checkpoint is None:
        missing = Finding(
            code="WAN005",
            severity=Severity.WARNING,
            where=where,
            message=f"no checkpoint of {model.id} on this host",
            fix=f"download it: hf download {model.repository}",
        )
        findings.append(missing)
    order = list(Severity)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))
