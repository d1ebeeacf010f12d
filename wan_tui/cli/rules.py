"""``wan-tui rules``: the rule book on the terminal."""

import dataclasses
import json

from wan_tui.cli.text import columns
from wan_tui.core.validation.rulebook.rules import Group, Rule, rule, rules

PAGE_HEAD = """\
# Rules

What `wan-tui validate`, `wan-tui check` and the engine look at. The code of a rule is the label `rule` of the
metric `wantui_validation_rule_passed`. Made by `make rules` from the files beside this page; on the terminal:
`wan-tui rules CODE`.
"""


def print_rules(code: str | None, *, as_json: bool, markdown: bool = False) -> int:
    """All rules in a table or as a page, or everything about one. Raises UsageError for an unknown code."""
    if markdown:
        print(page(), end="")
        return 0
    chosen = list(rules().values()) if code is None else [rule(code)]
    if as_json:
        print(json.dumps([dataclasses.asdict(entry) for entry in chosen], indent=2))
    elif code is None:
        print(columns(["CODE", "SEVERITY", "GROUP", "LOOKS AT"], [_row(entry) for entry in chosen]))
    else:
        (entry,) = chosen
        print(f"{entry.code}  {entry.severity}, {entry.group}")
        print(f"looks at: {entry.looks_at}\nwhy: {entry.why}\nfix: {entry.fix}")
    return 0


def page() -> str:
    """The documentation page: every rule, by group, in Markdown."""
    parts = [PAGE_HEAD]
    for group in Group:
        parts.append(f"## {group.capitalize()}\n")
        parts += [_section(entry) for entry in rules().values() if entry.group is group]
    return "\n".join(parts)


def _section(entry: Rule) -> str:
    lines = [
        f"### {entry.code}: {entry.severity}",
        "",
        entry.looks_at,
        "",
        f"Why: {entry.why}",
        "",
        f"Fix: {entry.fix}.",
    ]
    if entry.needs:
        lines += ["", f"Skipped while one of these fails: {', '.join(entry.needs)}."]
    return "\n".join(lines) + "\n"


def _row(entry: Rule) -> list[str]:
    return [entry.code, entry.severity, entry.group, entry.looks_at]
