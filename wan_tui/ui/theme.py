"""The colours, once: true colour and 256 colours get our own, 16 colours the terminal's, NO_COLOR none.

Lines and style sheets speak of roles (``Role.DIM``, ``$role-dim``), so that both themes keep the same meaning. Text
keeps a contrast of at least 4.5:1 on every background it is drawn on; a test computes it.
"""

import functools

from rich.style import Style
from textual.color import Color
from textual.theme import Theme

from wan_tui.ui.text import FILLED, Role

_BACKGROUND = "#0e1217"
_SURFACE = "#171d25"

WAN_DARK = Theme(
    name="wan-dark",
    primary="#58c4dc",
    secondary="#58c4dc",
    accent="#58c4dc",
    success="#7fce8f",
    warning="#e8b964",
    error="#ff8080",
    foreground="#dbe2ea",
    background=_BACKGROUND,
    surface=_SURFACE,
    panel=_SURFACE,
    dark=True,
    variables={
        "role-text": "#dbe2ea",
        "role-strong": "#ffffff",
        "role-dim": "#93a0ae",
        "role-title": "#b7c3d0",
        "role-rule": "#2f3945",
        "role-accent": "#58c4dc",
        "role-ok": "#7fce8f",
        "role-warn": "#e8b964",
        "role-error": "#ff8080",
        "role-track": "#35404c",
        "cursor-row": "#1f2a36",
        "chip": "#58c4dc",
        "chip-text": "#0b1015",
        "alert": "#e8b964",
        "field": "#171d25",
        "field-focus": "#24303d",
        "input-cursor-background": "#dbe2ea",
        "input-cursor-foreground": _BACKGROUND,
        "input-cursor-text-style": "none",
        "input-selection-background": "#2b5566",
        "input-selection-foreground": "#ffffff",
    },
)

WAN_ANSI = Theme(
    name="wan-ansi",
    ansi=True,
    primary="ansi_cyan",
    secondary="ansi_cyan",
    accent="ansi_cyan",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_red",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    dark=True,
    variables={
        "ansi-background": "ansi_black",  # Textual's own style sheets want these two of every native theme
        "ansi-foreground": "ansi_white",
        "role-text": "ansi_default",
        "role-strong": "ansi_default",
        "role-dim": "ansi_default",
        "role-title": "ansi_default",
        "role-rule": "ansi_default",
        "role-accent": "ansi_cyan",
        "role-ok": "ansi_green",
        "role-warn": "ansi_yellow",
        "role-error": "ansi_bright_red",
        "role-track": "ansi_default",
        "cursor-row": "ansi_default",
        "chip": "ansi_cyan",
        "chip-text": "ansi_black",
        "alert": "ansi_yellow",
        "field": "ansi_default",
        "field-focus": "ansi_default",
        "input-cursor-background": "ansi_default",
        "input-cursor-foreground": "ansi_default",
        "input-cursor-text-style": "reverse",
        "input-selection-background": "ansi_cyan",
        "input-selection-foreground": "ansi_black",
    },
)


@functools.cache
def styles(theme: str) -> dict[Role, Style]:
    """How each role is drawn. Plain data: as component classes of every widget they would double the start-up time."""
    native = theme == WAN_ANSI.name
    variables = (WAN_ANSI if native else WAN_DARK).variables
    drawn: dict[Role, Style] = {}
    for role in Role:
        bold = role in FILLED or role in (Role.STRONG, Role.TITLE, Role.ERROR)
        if role not in FILLED:
            quiet = native and role in (Role.DIM, Role.RULE, Role.TRACK)
            drawn[role] = Style(color=Color.parse(variables[f"role-{role}"]).rich_color, bold=bold, dim=quiet)
        elif native:
            drawn[role] = Style(reverse=True, bold=True)
        else:
            ground = variables["alert" if role is Role.ALERT else "chip"]
            drawn[role] = Style(
                color=Color.parse(variables["chip-text"]).rich_color, bgcolor=Color.parse(ground).rich_color, bold=True
            )
    return drawn


@functools.cache
def cursor_style(theme: str) -> Style:
    """What the row under the cursor adds to its spans."""
    if theme == WAN_ANSI.name:
        return Style(bold=True)
    return Style(bgcolor=Color.parse(WAN_DARK.variables["cursor-row"]).rich_color)
