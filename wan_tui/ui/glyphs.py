"""Which characters the terminal can show.

Text is composed with the Unicode marks below, each one cell wide. A locale that is not UTF-8 gets the same text with
every mark replaced by one ASCII character, so the layout never depends on the set.
"""

import codecs
import locale

from rich.cells import cell_len

CURSOR = "›"
BAR = "━"
TRACK = "─"
OTHERS = "═"
DRIVER = "╌"
LEVEL = "┈"
SPARK = " ▁▂▃▄▅▆▇█"
RULE = "─"
TIMES = "×"
ARROW = "→"
DOT = "·"
DEGREE = "°"
CUT = "…"
ON = "●"
HALF = "◐"
OFF = "○"
CROSS = "✗"
TICK = "✓"
WARN = "!"
CRUMB = "›"
LEVELS = "▁▂▃▄▅▆▇█"  # eighths of a cell, for charts
FULL = "█"
DARK_SHADE = "▓"
SHADE = "▒"
LIGHT_SHADE = "░"
CHEQUER = "▚"
HEAVY = "━"
LEFT = "‹"
RIGHT = "›"

_ASCII = str.maketrans(
    {
        CURSOR: ">",
        BAR: "#",
        TRACK: "-",
        OTHERS: "=",
        DRIVER: ":",
        LEVEL: ".",
        **dict(zip(SPARK[1:], "_.,-~=^#", strict=True)),
        TIMES: "x",
        ARROW: ">",
        DOT: "|",
        DEGREE: " ",
        CUT: "~",
        ON: "*",
        HALF: "%",
        OFF: "o",
        CROSS: "x",
        TICK: "+",
        LEFT: "<",
        **dict(zip(LEVELS, "_.-=+*##", strict=True)),
        DARK_SHADE: "=",
        SHADE: "+",
        LIGHT_SHADE: ".",
        CHEQUER: "%",
        "±": "~",
        "–": "-",
        "−": "-",
        "’": "'",
        "“": '"',
        "”": '"',
    }
)


def to_ascii(text: str) -> str:
    """``text`` in ASCII, cell for cell; what has no likeness becomes ``?``."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in text.translate(_ASCII))


def locale_is_utf8() -> bool:
    """Ask the C locale: Python's own encodings say UTF-8 even under ``LC_ALL=C``."""
    try:
        locale.setlocale(locale.LC_CTYPE, "")
        return codecs.lookup(locale.nl_langinfo(locale.CODESET)).name == "utf-8"
    except (locale.Error, LookupError, AttributeError):  # no such locale, odd code set, or no nl_langinfo (Windows)
        return False
