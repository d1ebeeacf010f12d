"""Hardware rules of one deployment: from its verdict, and from what lies on disk."""

from pathlib import Path

from wan_tui.core.catalog import Model
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.validation.judgement import Judgement, judged
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.validation.rulebook.rules import Group
from wan_tui.core.words import Verdict

_CODES = {
    Verdict.UNKNOWN: "WAN002",
    Verdict.TIGHT: "WAN003",
    Verdict.OFFLOAD_REQUIRED: "WAN004",
}


def judge_deployment(
    where: str, model: Model, compatibility: Compatibility, checkpoint: Path | None, *, wanted_loaded: bool
) -> Judgement:
    """What the hardware says about a deployment now, and whether its weights are here."""
    findings = []
    skipped: dict[str, str] = {}
    verdict = compatibility.verdict
    mildest = compatibility.remedies[0].title if compatibility.remedies else None
    if verdict is Verdict.INCOMPATIBLE:
        code = "WAN001" if wanted_loaded else "WAN006"
        findings.append(finding(code, where, compatibility.reason, mildest))
    elif verdict in _CODES:
        findings.append(finding(_CODES[verdict], where, compatibility.reason, mildest))
    if verdict is Verdict.UNKNOWN:
        skipped |= dict.fromkeys(("WAN001", "WAN003", "WAN004", "WAN006"), compatibility.reason)
    elif verdict is Verdict.INCOMPATIBLE:
        skipped |= dict.fromkeys(("WAN003", "WAN004"), "there is no plan that could run")
    skipped["WAN006" if wanted_loaded else "WAN001"] = "wanted loaded" if wanted_loaded else "not wanted loaded"
    if model.weights == "pocket":
        skipped["WAN005"] = "built in: there is no checkpoint"
    elif checkpoint is None:
        fix = f"download it: hf download {model.repository}"
        findings.append(finding("WAN005", where, f"no checkpoint of {model.id} on this host", fix))
    return judged(Group.HARDWARE, findings, skipped)
