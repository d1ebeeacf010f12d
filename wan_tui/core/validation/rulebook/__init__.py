"""Every check of the product as a rule: code, group, severity, what it looks at, why it matters, how to mend it."""

from wan_tui.core.validation.rulebook.rules import Group, Rule, finding, rules

__all__ = ["Group", "Rule", "finding", "rules"]
