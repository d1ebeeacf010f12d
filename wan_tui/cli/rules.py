"""``wan-tui rules``: the rule book on the terminal."""

import dataclasses
import json

from wan_tui.cli.text import columns
from wan_tui.core.validation.rulebook.rules import Rule, rule, rules


def print_rules(code: str | None, *, as_json: bool) -> int:
    """All rules in a table, or everything about one. Raises UsageError for an unknown code."""
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


def _row(entry: Rule) -> list[str]:
    return [entry.code, entry.severity, entry.group, entry.looks_at]
