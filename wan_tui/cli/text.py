"""Plain tables: no colour, no cut-off cells, so that they survive a pipe."""

from collections.abc import Sequence

from wan_tui.core.validation.findings import Finding


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart, the last one as long as it wants to be."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def finding_text(finding: Finding, indent: str = "") -> str:
    """A finding in two lines: what is wrong where, and the fix."""
    what = f"{finding.severity} {finding.code} {finding.where}: {finding.message}"
    return f"{indent}{what}\n    fix: {finding.fix}"
