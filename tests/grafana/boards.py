"""The committed dashboards as tests read them: their panels, queries, variables, and what is put in for those."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.grafana.repository import GRAFANA

Json = dict[str, Any]
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
ALL: list[Json] = [json.loads(file.read_text(encoding="utf-8")) for file in FILES]
RUNBOOKS = "wantui-runbooks"
# Those that show data.
BOARDS = [board for board in ALL if board["uid"] != RUNBOOKS]
# What Grafana puts in for its own variables, and for ours when everything is selected.
VALUES = {
    "job": "wantui",
    "instance": ".*",
    "gpu": ".*",
    "deployment": ".*",
    "__interval": "2m",
    "__rate_interval": "5m",
    "__range": "3h",
}


def panels(board: Json) -> list[Json]:
    """Without the titles of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets(board: Json) -> Iterator[tuple[str, Json]]:
    """Panel title and target of every query."""
    return ((panel["title"], target) for panel in panels(board) for target in panel["targets"])


def variables(board: Json) -> dict[str, Json]:
    return {variable["name"]: variable for variable in board["templating"].get("list", [])}


def filled_in(expression: str, values: Mapping[str, str] = VALUES) -> str:
    return re.sub(r"\$(\w+)", lambda match: values[match[1]], expression)
