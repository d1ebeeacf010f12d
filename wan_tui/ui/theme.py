"""The colours, once: true colour and 256 colours get our own, 16 colours the terminal's, NO_COLOR none.

Lines and style sheets speak of roles (``Role.DIM``, ``$role-dim``), so that every theme keeps the same meaning. Text
keeps a contrast of at least 4.5:1 on every background it is drawn on; a test computes it.
"""

import functools

from rich.style import Style
from textual.color import Color
from textual.theme import Theme

from wan_tui.ui.text import FILLED, Role


def _theme(
    name: str,
    *,
    dark: bool,
    ground: str,
    raised: str,
    field: str,
    text: str,
    strong: str,
    dim: str,
    title: str,
    rule: str,
    track: str,
    accent: str,
    ok: str,
    warn: str,
    error: str,
    cursor: str,
    on_chip: str,
    selection: str,
) -> Theme:
    """A theme of our own from its colours: ``ground`` of the screen, ``raised`` of dialogs, ``field`` in focus."""
    return Theme(
        name=name,
        primary=accent,
        secondary=accent,
        accent=accent,
        success=ok,
        warning=warn,
        error=error,
        foreground=text,
        background=ground,
        surface=raised,
        panel=raised,
        dark=dark,
        variables={
            "role-text": text,
            "role-strong": strong,
            "role-dim": dim,
            "role-title": title,
            "role-rule": rule,
            "role-accent": accent,
            "role-ok": ok,
            "role-warn": warn,
            "role-error": error,
            "role-track": track,
            "cursor-row": cursor,
            "chip": accent,
            "chip-text": on_chip,
            "alert": warn,
            "field": raised,
            "field-focus": field,
            "input-cursor-background": text,
            "input-cursor-foreground": ground,
            "input-cursor-text-style": "none",
            "input-selection-background": selection,
            "input-selection-foreground": strong,
        },
    )


WAN_DARK = _theme(
    "wan-dark",
    dark=True,
    ground="#0e1217",
    raised="#171d25",
    field="#24303d",
    text="#dbe2ea",
    strong="#ffffff",
    dim="#93a0ae",
    title="#b7c3d0",
    rule="#2f3945",
    track="#35404c",
    accent="#58c4dc",
    ok="#7fce8f",
    warn="#e8b964",
    error="#ff8080",
    cursor="#1f2a36",
    on_chip="#0b1015",
    selection="#2b5566",
)

WAN_LIGHT = _theme(
    "wan-light",
    dark=False,
    ground="#fbfbf9",
    raised="#f0f1ee",
    field="#e2e8ea",
    text="#1d252c",
    strong="#000000",
    dim="#53606b",
    title="#37434d",
    rule="#c9cfd2",
    track="#c3cacd",
    accent="#00607a",
    ok="#1d6b33",
    warn="#7d4e00",
    error="#b3131f",
    cursor="#e3ebee",
    on_chip="#ffffff",
    selection="#b5dbe6",
)

WAN_CONTRAST = _theme(
    "wan-contrast",
    dark=True,
    ground="#000000",
    raised="#101010",
    field="#262626",
    text="#ffffff",
    strong="#ffffff",
    dim="#d0d0d0",
    title="#ffffff",
    rule="#8a8a8a",
    track="#6c6c6c",
    accent="#5fffff",
    ok="#87ff87",
    warn="#ffff5f",
    error="#ff9d9d",
    cursor="#3a3a3a",
    on_chip="#000000",
    selection="#005f87",
)

# Blue, yellow and vermilion of Okabe and Ito's palette, brightened for a dark ground: no meaning hangs on red and
# green, and the three differ in brightness too (https://jfly.uni-koeln.de/color/).
WAN_COLOUR_BLIND = _theme(
    "wan-colour-blind",
    dark=True,
    ground="#101114",
    raised="#191b20",
    field="#292d35",
    text="#dfe2e6",
    strong="#ffffff",
    dim="#9aa1aa",
    title="#bcc3cb",
    rule="#333840",
    track="#3a4048",
    accent="#cc9fd4",
    ok="#56b4e9",
    warn="#f0e442",
    error="#ff8a4c",
    cursor="#252a32",
    on_chip="#101114",
    selection="#574a5b",
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


THEMES = {
    "dark": WAN_DARK,
    "light": WAN_LIGHT,
    "contrast": WAN_CONTRAST,
    "colour-blind": WAN_COLOUR_BLIND,
    "ansi": WAN_ANSI,
}
"""By the name that an operator types; ``ansi`` is the terminal's own colours."""
_BY_NAME = {theme.name: theme for theme in THEMES.values()}


@functools.cache
def styles(theme: str) -> dict[Role, Style]:
    """How each role is drawn. Plain data: as component classes of every widget they would double the start-up time."""
    native = theme == WAN_ANSI.name
    variables = _BY_NAME.get(theme, WAN_DARK).variables
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
    return Style(bgcolor=Color.parse(_BY_NAME.get(theme, WAN_DARK).variables["cursor-row"]).rich_color)
