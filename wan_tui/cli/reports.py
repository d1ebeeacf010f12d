"""A validation report in the forms that people, programs and CI systems read. Pure."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from wan_tui.cli.text import finding_text
from wan_tui.core.validation.findings import Finding
from wan_tui.core.validation.judgement import RuleOutcome
from wan_tui.core.validation.report import Kind, Report, Subject
from wan_tui.core.validation.rulebook.rules import rules
from wan_tui.core.words import Outcome, Severity

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_GITHUB_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def as_text(report: Report, *, detailed: bool) -> str:
    """Models counted, then what is wrong, worst first; ``detailed`` adds every subject with what was skipped."""
    models = report.of(Kind.MODEL)
    counts = [_counted(report.count(severity), word) for severity, word in _WORDS.items()]
    valid = len(models) - report.invalid_models
    lines = [f"{_counted(len(models), 'model')}: {valid} valid, {report.invalid_models} invalid", ", ".join(counts)]
    if detailed:
        for subject in report.subjects:
            lines += ["", *_subject_text(subject)]
    if report.findings:
        lines.append("")
    for subject, finding in report.findings:
        lines.append(finding_text(dataclasses.replace(finding, where=_where(subject, finding))))
    return "\n".join(lines)


_WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _subject_text(subject: Subject) -> list[str]:
    outcomes = subject.judgement.outcomes
    counts = ", ".join(f"{sum(rule.outcome is outcome for rule in outcomes)} {outcome}" for outcome in Outcome)
    lines = [f"{subject.title}: {'valid' if subject.judgement.valid else 'invalid'} ({counts})"]
    if subject.place is not None and subject.place != subject.name:
        lines.append(f"  in {subject.place}")
    if subject.compatibility is not None:
        lines.append(f"  {subject.compatibility.verdict}: {subject.compatibility.reason}")
    reasons: dict[str, list[str]] = {}
    for rule in outcomes:
        if rule.outcome is Outcome.SKIPPED:
            reasons.setdefault(rule.reason, []).append(rule.code)
    return lines + [f"  skipped {_ranges(codes)}: {reason}" for reason, codes in reasons.items()]


def _ranges(codes: list[str]) -> str:
    """``WAN401-WAN421, WAN505``: neighbours in the rule book as a range."""
    order = list(rules())
    runs: list[list[str]] = []
    for code in codes:
        if runs and order.index(code) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _where(subject: Subject, finding: Finding) -> str:
    """Findings of a checkpoint name the file inside it: say whose it is."""
    named = subject.title if subject.kind is not Kind.HOST else "this host"
    known = (subject.name, named, f"request to {subject.name}", f"model {subject.name}")
    return (
        finding.where
        if finding.where.startswith(known) or subject.kind in (Kind.CONFIGURATION, Kind.HOST)
        else (f"{named}: {finding.where}")
    )


def as_json(report: Report, *, detailed: bool) -> str:
    """The documented keys; ``detailed`` adds how every rule came out."""
    models = report.of(Kind.MODEL)
    facts = {
        "overall_valid": report.valid(),
        "taken_at": datetime.fromtimestamp(report.taken_at, UTC).isoformat(timespec="seconds"),
        "version": report.version,
        "summary": {
            "total_models": len(models),
            "valid_models": len(models) - report.invalid_models,
            "invalid_models": report.invalid_models,
            "errors": [
                _line(subject, finding) for subject, finding in report.findings if finding.severity is Severity.ERROR
            ],
            "warnings": report.count(Severity.WARNING),
            "notes": report.count(Severity.INFO),
        },
        "model_validations": {subject.name: _subject_facts(subject, detailed) for subject in models},
        "deployment_validations": {
            subject.name: _subject_facts(subject, detailed) for subject in report.of(Kind.DEPLOYMENT)
        },
        "configuration": [
            {"file": subject.place, **_subject_facts(subject, detailed)} for subject in report.of(Kind.CONFIGURATION)
        ],
        "host": [{"name": subject.name, **_subject_facts(subject, detailed)} for subject in report.of(Kind.HOST)],
        "findings": [{"subject": subject.title, **dataclasses.asdict(finding)} for subject, finding in report.findings],
    }
    return json.dumps(facts, indent=2, ensure_ascii=False)


def _line(subject: Subject, finding: Finding) -> str:
    return f"{finding.code} {_where(subject, finding)}: {finding.message}"


def _subject_facts(subject: Subject, detailed: bool) -> dict[str, Any]:
    findings = subject.judgement.findings
    facts: dict[str, Any] = {
        "is_valid": subject.judgement.valid,
        "errors": [_line(subject, found) for found in findings if found.severity is Severity.ERROR],
        "warnings": [_line(subject, found) for found in findings if found.severity is Severity.WARNING],
    }
    if subject.kind in (Kind.MODEL, Kind.DEPLOYMENT):
        facts["checkpoint"] = subject.place
    if subject.compatibility is not None:
        facts["hardware_compatibility"] = dataclasses.asdict(subject.compatibility)
    if detailed:
        facts["rules"] = {
            rule.code: {"outcome": rule.outcome, **({"reason": rule.reason} if rule.reason else {})}
            for rule in subject.judgement.outcomes
        }
    return facts


def as_junit(report: Report, *, detailed: bool) -> str:
    """JUnit XML: a suite for each subject, a case for each rule; what is no error counts as passed."""
    root = ElementTree.Element("testsuites", name="wan-tui validate")
    for subject in report.subjects:
        outcomes = subject.judgement.outcomes
        broken = {found.code for found in subject.judgement.findings if found.severity is Severity.ERROR}
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=subject.title,
            tests=str(len(outcomes)),
            failures=str(len(broken)),
            errors="0",
            skipped=str(sum(rule.outcome is Outcome.SKIPPED for rule in outcomes)),
        )
        for rule in outcomes:
            _case(suite, subject, rule)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _case(suite: ElementTree.Element, subject: Subject, rule: RuleOutcome) -> None:
    looks_at = rules()[rule.code].looks_at
    case = ElementTree.SubElement(suite, "testcase", classname=subject.title, name=f"{rule.code} {looks_at}")
    if rule.outcome is Outcome.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=_xml(rule.reason))
    found = [finding for finding in subject.judgement.findings if finding.code == rule.code]
    if not found:
        return
    text = _xml("\n".join(finding_text(finding) for finding in found))
    if rule.severity is Severity.ERROR:
        ElementTree.SubElement(case, "failure", type=rule.code, message=_xml(found[0].message)).text = text
    else:
        ElementTree.SubElement(case, "system-out").text = text


def _xml(text: str) -> str:
    """XML has no place for most control characters, not even escaped."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def as_sarif(report: Report, *, detailed: bool) -> str:
    """SARIF 2.1.0, as code scanners exchange it."""
    used = {finding.code for _, finding in report.findings}
    described = [entry for code, entry in rules().items() if detailed or code in used]
    log = {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "wan-tui",
                        "version": report.version,
                        "rules": [
                            {
                                "id": entry.code,
                                "shortDescription": {"text": entry.looks_at},
                                "fullDescription": {"text": entry.why},
                                "help": {"text": entry.fix},
                                "defaultConfiguration": {"level": _SARIF_LEVELS[entry.severity]},
                            }
                            for entry in described
                        ],
                    }
                },
                "results": [_sarif_result(subject, finding) for subject, finding in report.findings],
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False)


def _sarif_result(subject: Subject, finding: Finding) -> dict[str, Any]:
    where: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": _where(subject, finding)}]}
    if subject.place is not None:
        where["physicalLocation"] = {"artifactLocation": {"uri": subject.place}}
    return {
        "ruleId": finding.code,
        "level": _SARIF_LEVELS[finding.severity],
        "message": {"text": f"{_where(subject, finding)}: {finding.message}. Fix: {finding.fix}"},
        "locations": [where],
    }


def as_github(report: Report, *, detailed: bool) -> str:
    """Workflow commands that GitHub Actions turns into annotations."""
    return "\n".join(_annotation(subject, finding) for subject, finding in report.findings)


def _annotation(subject: Subject, finding: Finding) -> str:
    properties = f"title={_escaped(finding.code, ',:')}"
    if subject.kind is Kind.CONFIGURATION and subject.place is not None:
        properties += f",file={_escaped(subject.place, ',:')}"
    text = f"{_where(subject, finding)}: {finding.message}\nfix: {finding.fix}"
    return f"::{_GITHUB_LEVELS[finding.severity]} {properties}::{_escaped(text)}"


def _escaped(text: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


FORMATS: dict[str, Callable[..., str]] = {
    "text": as_text,
    "json": as_json,
    "junit": as_junit,
    "sarif": as_sarif,
    "github": as_github,
}
