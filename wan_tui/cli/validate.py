"""``wan-tui validate``."""

import dataclasses
import json
from pathlib import Path

from wan_tui.cli.engine import first_snapshot, with_engine
from wan_tui.core.config import load_settings
from wan_tui.core.runtime.state import DeploymentStatus
from wan_tui.core.words import Verdict


def print_verdicts(config: Path | None, names: list[str], *, as_json: bool) -> int:
    """Exit status 1 when a deployment that is wanted loaded is incompatible."""
    settings = load_settings(config)
    for name in names:
        settings.deployment(name)
    snapshot = with_engine(settings, first_snapshot)
    chosen = [status for status in snapshot.deployments if not names or status.name in names]
    failed = [
        status for status in chosen if status.wanted_loaded and status.compatibility.verdict is Verdict.INCOMPATIBLE
    ]
    if as_json:
        print(json.dumps({"valid": not failed, "deployments": [_facts(status) for status in chosen]}, indent=2))
    else:
        print("\n".join(line for status in chosen for line in _lines(status)))
    return 1 if failed else 0


def _lines(status: DeploymentStatus) -> list[str]:
    wanted = ", wanted loaded" if status.wanted_loaded else ""
    lines = [f"{status.name} ({status.model}{wanted}): {status.compatibility.verdict}"]
    if not any(finding.message == status.compatibility.reason for finding in status.findings):
        lines.append(f"  {status.compatibility.reason}")
    for finding in status.findings:
        lines.append(f"  {finding.severity} {finding.code}: {finding.message}")
        lines.append(f"    fix: {finding.fix}")
    return lines


def _facts(status: DeploymentStatus) -> dict[str, object]:
    return {
        "name": status.name,
        "model": status.model,
        "profile": status.profile,
        "wanted_loaded": status.wanted_loaded,
        "compatibility": dataclasses.asdict(status.compatibility),
        "findings": [dataclasses.asdict(finding) for finding in status.findings],
    }
