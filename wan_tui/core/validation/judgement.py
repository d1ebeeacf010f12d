"""What a set of rules said about one thing: passed, failed or skipped, each with its reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.validation.rulebook.rules import Group, rules
from wan_tui.core.words import Outcome, Severity


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """How one rule came out; ``reason`` says why it was skipped."""

    code: str
    severity: Severity
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``codes``: the rules that apply; ``skipped``: those that could not be evaluated, with the reason."""

    codes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: "Judgement") -> "Judgement":
        codes = tuple(sorted({*self.codes, *other.codes}))
        return Judgement(codes, worst_first([*self.findings, *other.findings]), {**self.skipped, **other.skipped})

    @property
    def valid(self) -> bool:
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def outcomes(self) -> tuple[RuleOutcome, ...]:
        """One for each rule that applies, in the order of the codes."""
        failed = {finding.code for finding in self.findings}
        return tuple(self._outcome(code, failed) for code in self.codes)

    def _outcome(self, code: str, failed: set[str]) -> RuleOutcome:
        entry = rules()[code]
        if code in failed:
            return RuleOutcome(code, entry.severity, Outcome.FAILED)
        broken = next((needed for needed in entry.needs if needed in failed), None)
        if reason := self.skipped.get(code) or (broken and f"cannot be told while {broken} fails"):
            return RuleOutcome(code, entry.severity, Outcome.SKIPPED, reason)
        return RuleOutcome(code, entry.severity, Outcome.PASSED)


def codes_of(*groups: Group) -> tuple[str, ...]:
    return tuple(code for code, entry in rules().items() if entry.group in groups)


def judged(group: Group, findings: Iterable[Finding], skipped: Mapping[str, str] | None = None) -> Judgement:
    """Every rule of ``group`` was looked at but for ``skipped``."""
    return Judgement(codes_of(group), worst_first(findings), skipped or {})


def not_judged(group: Group, reason: str) -> Judgement:
    """No rule of ``group`` could be evaluated."""
    codes = codes_of(group)
    return Judgement(codes, (), dict.fromkeys(codes, reason))
