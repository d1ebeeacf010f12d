"""One result of one rule."""

from collections.abc import Iterable
from dataclasses import dataclass

from wan_tui.core.words import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule found: ``where`` names file, key or object, ``message`` the value, ``fix`` what to do."""

    code: str
    severity: Severity
    where: str
    message: str
    fix: str


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then notes; each in the order in which they were found."""
    order = list(Severity)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The checkpoint of a model on this host: how many files it lacks, and the commit that it was downloaded at."""

    model: str
    missing: int
    revision: str | None = None
