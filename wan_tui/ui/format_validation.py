"""What the rules found, as lines: worst first, with what each rule looks at and why. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wan_tui.core.units import format_seconds
from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.words import Severity
from wan_tui.ui import glyphs
from wan_tui.ui.format import dim_join
from wan_tui.ui.text import (
    Column,
    Frame,
    Line,
    Role,
    Row,
    Span,
    View,
    clean,
    fit_columns,
    marked,
    pad,
    rule,
    table_head,
    table_line,
    text,
    wrap,
)

if TYPE_CHECKING:
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.core.validation.rulebook.rules import Rule

CONFIGURATION = "configuration"
_SEVERITIES = {
    Severity.ERROR: (glyphs.CROSS, Role.ERROR),
    Severity.WARNING: (glyphs.WARN, Role.WARN),
    Severity.INFO: (glyphs.DOT, Role.DIM),
}


class Found(NamedTuple):
    """A finding and the subjects (deployments, or ``configuration``) that it was found for."""

    finding: Finding
    subjects: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.finding.code} {self.finding.where} {self.finding.message}"


def all_findings(snapshot: Snapshot) -> tuple[Found, ...]:
    """Of the configuration and of every deployment, worst first; one that many share is there once."""
    subjects: dict[Finding, list[str]] = {}
    for finding in snapshot.config.findings:
        subjects.setdefault(finding, []).append(CONFIGURATION)
    for deployment in snapshot.deployments:
        for finding in deployment.findings:
            subjects.setdefault(finding, []).append(deployment.name)
    return tuple(Found(finding, tuple(subjects[finding])) for finding in worst_first(subjects))


def find(key: str | None, snapshot: Snapshot) -> Found | None:
    return next((one for one in all_findings(snapshot) if one.key == key), None)


def count(findings: tuple[Finding, ...], severity: Severity) -> int:
    return sum(finding.severity is severity for finding in findings)


def counted(findings: tuple[Finding, ...]) -> str:
    """``1 error, 2 warnings, 3 notes``."""
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    parts = [(count(findings, severity), word) for severity, word in words.items()]
    return ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in parts if number) or "no finding"


# -- subjects


def subject_list(snapshot: Snapshot, view: View) -> Frame:
    """The configuration and each deployment: how its rules came out, and when all were last evaluated."""
    columns = (
        Column("SUBJECT", 14, grow=True, limit=28),
        Column("RESULT", 24),
        Column("PASSED", 6, 2, right=True),
        Column("FAILED", 6, 2, right=True),
        Column("SKIPPED", 7, 3, right=True),
        Column("LAST RUN", 14, 1, right=True),
    )
    fitted = fit_columns(columns, view.width - 4)
    rows: list[Row] = []
    config = snapshot.config
    file = config.file or ""
    cells = (
        text(CONFIGURATION, Role.STRONG),
        _result(config.findings) if config.file is not None else text("? not looked at yet", Role.DIM),
        text("--", Role.DIM),
        text(str(len({finding.code for finding in config.findings})) if config.file is not None else "--"),
        text("--", Role.DIM),
        text("--", Role.DIM),
    )
    rows.append(Row(_row(table_line(fitted, columns, cells), CONFIGURATION, view), CONFIGURATION))
    for deployment in snapshot.deployments:
        status = deployment.validation
        age = "never" if status.last_run_at is None else f"{format_seconds(snapshot.taken_at - status.last_run_at)} ago"
        cells = (
            text(clean(deployment.name), Role.STRONG),
            _result(deployment.findings),
            text(str(len(status.passed))),
            text(str(len(status.failed)), Role.TEXT if status.failed else Role.DIM),
            text(str(len(status.skipped)), Role.DIM),
            text(age, Role.DIM),
        )
        rows.append(Row(_row(table_line(fitted, columns, cells), deployment.name, view), deployment.name))
    head = pad((Span("   "), *table_head(fitted, columns)), view.width)
    return Frame((rule("VALIDATED", text(clean(file), Role.DIM), view), head), tuple(rows))


def _row(line: Line, key: str, view: View) -> Line:
    return pad(marked(line, view.focused and key == view.cursor), view.width)


def _result(findings: tuple[Finding, ...]) -> Line:
    worst = worst_first(findings)[0].severity if findings else None
    if worst in (None, Severity.INFO):
        return (Span(f"{glyphs.TICK} ", Role.OK), Span("valid" if worst is None else f"valid, {counted(findings)}"))
    assert worst is not None
    mark, role = _SEVERITIES[worst]
    return (Span(f"{mark} {counted(findings)}", role),)


# -- findings


def finding_list(
    snapshot: Snapshot, rules: dict[str, Rule], subject: str | None, view: View, *, explain: bool
) -> Frame:
    """Every finding, or those of one ``subject``; with ``explain`` the selected one is followed by its rule."""
    found = [one for one in all_findings(snapshot) if subject is None or subject in one.subjects]
    total = counted(tuple(one.finding for one in found))
    head = rule("FINDINGS" if subject is None else f"FINDINGS OF {clean(subject).upper()}", dim_join(total), view)
    if not found:
        nothing = text(f"   {glyphs.TICK} nothing was found", Role.OK)
        return Frame((head,), (Row(pad(nothing, view.width)),))
    rows: list[Row] = []
    for one in found:
        finding, selected = one.finding, one.key == view.cursor
        mark, role = _SEVERITIES[finding.severity]
        start = f"{mark} {finding.severity.value:<8}{finding.code}  "
        room = view.width - 4 - len(start)
        parts = wrap(finding.message, room, 3 if selected else 1)
        rows.append(Row(pad(marked((Span(start, role), Span(parts[0])), selected), view.width), one.key))
        if selected:
            indent = " " * (3 + len(start))
            rows += [Row(pad((Span(indent), Span(part)), view.width)) for part in parts[1:]]
            if explain:
                rows += [Row(pad((Span(indent), *line), view.width)) for line in explanation(one, rules, room)]
    return Frame((head,), tuple(rows))


def explanation(found: Found, rules: dict[str, Rule], width: int) -> list[Line]:
    """Where, what to do, and what the rule says about itself."""
    finding, entry = found.finding, rules.get(found.finding.code)
    lines: list[Line] = []

    def add(label: str, said: str, role: Role = Role.TEXT) -> None:
        for i, part in enumerate(wrap(said, width - 8, 6)):
            lines.append((Span(f"{label if i == 0 else '':<8}", Role.DIM), Span(part, role)))

    add("where", finding.where)
    add("fix", finding.fix, Role.STRONG)
    if entry is not None:
        add("checks", entry.looks_at, Role.DIM)
        add("why", entry.why, Role.DIM)
        if entry.needs:
            add("needs", ", ".join(entry.needs), Role.DIM)
    if len(found.subjects) > 1:
        add("of", ", ".join(found.subjects), Role.DIM)
    return lines


def rule_page(found: Found | None, rules: dict[str, Rule], view: View) -> Frame:
    """The rule of the selected finding, beside the list on wide terminals."""
    if found is None:
        return Frame()
    entry = rules.get(found.finding.code)
    about = text(entry.group.value, Role.DIM) if entry is not None else ()
    rows = [Row(pad((Span("   "), *line), view.width)) for line in explanation(found, rules, view.width - 6)]
    return Frame((rule(f"RULE {found.finding.code}", about, view),), tuple(rows))


def skipped_lines(snapshot: Snapshot, subject: str | None, view: View) -> Frame:
    """Rules of one deployment that could not be evaluated, and why; nothing for others."""
    deployment = snapshot.deployment(subject) if subject is not None else None
    if deployment is None or not deployment.validation.skipped:
        return Frame()
    skipped = deployment.validation.skipped
    rows = []
    for one in skipped:
        for i, part in enumerate(wrap(one.reason, view.width - 14, 2)):
            rows.append(Row(pad((Span(f"   {one.code if i == 0 else '':<9}", Role.DIM), Span(part)), view.width)))
    return Frame((rule("SKIPPED", dim_join(str(len(skipped))), view),), tuple(rows))


def rule_text(entry: Rule, snapshot: Snapshot, view: View) -> Frame:
    """A rule in full, and what it found here."""
    width = view.width - 12
    lines: list[Line] = []
    for label, said in (
        ("severity", entry.severity.value),
        ("checks", entry.looks_at),
        ("why", entry.why),
        ("fix", entry.fix),
        ("needs", ", ".join(entry.needs)),
    ):
        for i, part in enumerate(wrap(said, width - 10, 20) if said else []):
            lines.append((Span(f"{label if i == 0 else '':<10}", Role.DIM), Span(part)))
    found = [one for one in all_findings(snapshot) if one.finding.code == entry.code]
    lines.append(())
    for one in found:
        for i, part in enumerate(wrap(one.finding.message, width - 10, 4)):
            lines.append((Span(f"{'found' if i == 0 else '':<10}", Role.WARN), Span(part)))
    if not found:
        lines.append((Span(f"{'found':<10}", Role.DIM), Span("nothing here")))
    rows = tuple(Row(pad((Span("   "), *line), view.width)) for line in lines)
    return Frame((rule(f"RULE {entry.code}", text(entry.group.value, Role.DIM), view),), rows)
