"""A change of the configuration as lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.ui.text import Frame, Role, Row, Span, View, clean, pad, shorten, text, wrap

if TYPE_CHECKING:
    from wan_tui.agent.changes import ChangePreview

_ROLES = {"+": Role.OK, "-": Role.ERROR, "@": Role.DIM}


def change_lines(preview: ChangePreview, consequence: str, view: View) -> Frame:
    """The file, what comes of the change, and the diff; signs say what colour repeats."""
    said = f"creates {preview.file}" if preview.creates else f"changes {preview.file}, the original is kept beside it"
    rows = [Row(pad(text(part), view.width)) for part in wrap(said, view.width, 3)]
    rows += [Row(pad(text(part, Role.DIM), view.width)) for part in wrap(consequence, view.width, 3)]
    rows.append(Row(pad((), view.width)))
    for line in preview.diff.splitlines():
        if line.startswith(("+++ ", "--- ")):
            continue
        role = _ROLES.get(line[:1], Role.TEXT)
        rows.append(Row(pad((Span(shorten(clean(line), view.width), role),), view.width)))
    return Frame((), tuple(rows))
