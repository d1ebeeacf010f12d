"""``wan-tui runbook``: the page of an alert on the terminal; the text is that of ``grafana/runbooks.md``."""

import re
from importlib import resources

from wan_tui.core.errors import UsageError, unknown_name

_PREFIX = "WanTui"


def print_runbook(alert: str | None) -> int:
    """Every alert with its meaning in one line, or the whole page of one. Raises UsageError for an unknown alert."""
    found = pages(_text())
    if alert is None:
        print("\n".join(f"{name}\n    {_meaning(page)}" for name, page in found.items()))
        return 0
    name = _find(alert, found)
    print(f"{name}\n\n{_plain(found[name])}")
    return 0


def pages(text: str) -> dict[str, str]:
    """The sections of the runbooks by the name of their alert, in order, without their headings."""
    parts = re.split(r"^## (\w+)$", text, flags=re.MULTILINE)
    return {name: page.strip() for name, page in zip(parts[1::2], parts[2::2], strict=True)}


def _text() -> str:
    return resources.files("wan_tui.cli").joinpath("runbooks.md").read_text(encoding="utf-8")


def _find(alert: str, known: dict[str, str]) -> str:
    """``gpulost`` will do for ``WanTuiGpuLost``."""
    wanted = alert.casefold()
    for name in known:
        if wanted in (name.casefold(), name.removeprefix(_PREFIX).casefold()):
            return name
    error: UsageError = unknown_name("alert", alert, known)
    raise error


def _meaning(page: str) -> str:
    """The first sentence of the page."""
    words = " ".join(page.removeprefix("**Meaning.**").split())
    return re.split(r"(?<=[.:])\s", words, maxsplit=1)[0].rstrip(":")


def _plain(page: str) -> str:
    """Markdown as one reads it on a terminal: no emphasis, no link targets."""
    return re.sub(r"\*\*(.+?)\*\*|\[(\w+)\]\(#\w+\)", lambda match: match[1] or match[2], page)
