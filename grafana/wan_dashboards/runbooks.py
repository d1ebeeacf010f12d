"""*Wan runbooks*: a page for each alert, so that the link in an alert leads to one even when its host is gone."""

import re

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.text import TextMode

from wan_dashboards.board import Board, Line, Section

UID = "wantui-runbooks"


def board(markdown: str) -> Board:
    """``markdown``: runbooks.md. Panel N is its Nth section, which ``?viewPanel=N`` shows alone."""
    parts = re.split(r"^## (\w+)$", markdown, flags=re.MULTILINE)[1:]
    pages = list(zip(parts[::2], parts[1::2], strict=True))
    places = {name: number for number, (name, _) in enumerate(pages, 1)}
    return Board(
        uid=UID,
        title="Wan runbooks",
        description="For each alert: what it means, what it costs, how to find the cause, how to end it.",
        with_variables=False,
        sections=(Section("", [Line(10, [_page(name, body, places)]) for name, body in pages]),),
    )


def _page(name: str, body: str, places: dict[str, int]) -> text.Panel:
    def link(match: re.Match[str]) -> str:
        return f"[{match[1]}](/d/{UID}?viewPanel={places[match[1]]})"

    content = re.sub(r"\[(\w+)\]\(#\w+\)", link, body.strip())
    return text.Panel().title(name).mode(TextMode.MARKDOWN).content(content)
