"""One result of one rule."""

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
