"""Typed view of the rule files beside this module; one registry feeds reports, documentation and metric labels."""

import functools
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources

from wan_tui.core.errors import unknown_name
from wan_tui.core.validation.findings import Finding
from wan_tui.core.words import Severity


class Group(StrEnum):
    """What a rule is about; each has a file and a range of codes of its own."""

    HARDWARE = "hardware"  # WAN0xx
    CONFIGURATION = "configuration"  # WAN1xx
    REQUEST = "request"  # WAN2xx
    CATALOGUE = "catalogue"  # WAN3xx
    CHECKPOINT = "checkpoint"  # WAN4xx
    ENVIRONMENT = "environment"  # WAN5xx


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """``looks_at`` and ``why`` are sentences; ``fix`` is what to do when no finding knows better.

    ``needs`` names rules without which this one cannot be evaluated.
    """

    code: str
    group: Group
    severity: Severity
    looks_at: str
    why: str
    fix: str
    needs: tuple[str, ...] = ()


@functools.cache
def rules() -> dict[str, Rule]:
    """All rules by code, in order."""
    found = {}
    for group in Group:
        text = resources.files(__package__).joinpath(f"{group}.toml").read_text("utf-8")
        for code, entry in tomllib.loads(text).items():
            typed = {"severity": Severity(entry["severity"]), "needs": tuple(entry.get("needs", ()))}
            found[code] = Rule(code=code, group=group, **{**entry, **typed})
    return dict(sorted(found.items()))


def rule(code: str) -> Rule:
    """The rule with ``code``, any case. Raises UsageError with the nearest codes."""
    known = rules()
    if code.upper() not in known:
        raise unknown_name("rule", code, known)
    return known[code.upper()]


def finding(code: str, where: str, message: str, fix: str | None = None) -> Finding:
    """A finding of rule ``code``, with the rule's severity and, unless a better one is known, its fix."""
    broken = rules()[code]
    return Finding(code=code, severity=broken.severity, where=where, message=message, fix=fix or broken.fix)
