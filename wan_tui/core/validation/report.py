"""Everything that was judged in one validation, as data."""

from dataclasses import dataclass
from enum import StrEnum

from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.validation.findings import Finding
from wan_tui.core.validation.judgement import Judgement
from wan_tui.core.words import Severity


class Kind(StrEnum):
    CONFIGURATION = "configuration"
    HOST = "host"
    MODEL = "model"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One thing that was judged, and its file or folder; ``compatibility`` is None if hardware was not looked at."""

    kind: Kind
    name: str
    judgement: Judgement
    place: str | None = None
    compatibility: Compatibility | None = None

    @property
    def title(self) -> str:
        return self.name if self.kind is Kind.HOST else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``taken_at`` is Unix seconds."""

    subjects: tuple[Subject, ...]
    taken_at: float
    version: str

    def of(self, kind: Kind) -> tuple[Subject, ...]:
        return tuple(subject for subject in self.subjects if subject.kind is kind)

    @property
    def invalid_models(self) -> int:
        return sum(not model.judgement.valid for model in self.of(Kind.MODEL))

    @property
    def findings(self) -> tuple[tuple[Subject, Finding], ...]:
        """Each finding once, with the first subject that has it: worst first."""
        first: dict[Finding, Subject] = {}
        for subject in self.subjects:
            for finding in subject.judgement.findings:
                first.setdefault(finding, subject)
        order = list(Severity)
        found = [(subject, finding) for finding, subject in first.items()]
        return tuple(sorted(found, key=lambda pair: order.index(pair[1].severity)))

    def count(self, severity: Severity) -> int:
        return sum(finding.severity is severity for _, finding in self.findings)

    def valid(self, *, strict: bool = False) -> bool:
        """No error, and with ``strict`` no warning either."""
        return not self.count(Severity.ERROR) and not (strict and self.count(Severity.WARNING))
