"""Each scenario, as a real Prometheus sees it: every query of every dashboard answered, and just the right alerts."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.exporter.live import Prometheus, prometheus, promtool
from tests.grafana.boards import BOARDS, Json, filled_in, targets, variables
from tests.grafana.repository import GRAFANA, load_yaml
from wan_exporter.demo.scenarios import SCENARIOS

HOURS = 3
# Noon of a day: the traffic of the demo follows the hours.
END = 1_767_268_800
# Enough to see queries and alerts work; the other scenarios take as long again each.
QUICK = ("healthy", "incompatible")
UNITS = {"m": 1, "h": 60}
# Panels that stay empty where nothing of the kind happens, with the scenario that must fill them.
SHOWN_IN = {
    "Failures by reason": "oom-loop",
    "Out of memory by phase": "oom-loop",
    "Not given back after an unload": "neglected",
    "Rules that fail": "incompatible",
    "Worker": "xid",
    "Loads and unloads": "incompatible",
    "Xid errors": "xid",
    "Fans": None,  # the simulated cards are cooled passively
    "Slices": None,  # and not divided
    "VRAM of slices": None,
}
# Annotations mark what happened, where it did.
MARKED_IN = {"State changes": "healthy", "Out of memory": "oom-loop", "GPU lost": "gpu-lost", "Xid": "xid"}
# A history has no marks of staleness: what was scraped last before a silence counts for five minutes.
ARTEFACTS = {"neglected": {"WanTuiPollerStale"}}
NOT_SHOWN = {
    "WanTuiValidationStale": "takes more than a day without validation",
    "WanTuiVramEstimatePessimistic": "takes a day of jobs below their estimate",
}
ALL_RULES = [rule for group in load_yaml(GRAFANA / "prometheus" / "rules.yml")["groups"] for rule in group["rules"]]
RULES = [rule for rule in ALL_RULES if "alert" in rule]
RECORDED: dict[str, str] = {rule["record"]: rule["expr"] for rule in ALL_RULES if "record" in rule}


def test_every_alert_is_fired_by_a_scenario_or_has_a_reason_why_not() -> None:
    fired = set().union(*(scenario.fires for scenario in SCENARIOS.values()))
    assert fired | set(NOT_SHOWN) == {rule["alert"] for rule in RULES}
    assert not fired & set(NOT_SHOWN)
    assert not SCENARIOS["healthy"].fires


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SCENARIOS]
)
async def test_every_query_has_an_answer_and_just_the_right_alerts_fire(name: str, tmp_path: Path) -> None:
    history = tmp_path / "history.om"
    arguments = ("--demo", name, "--history", str(history), "--days", str(HOURS / 24), "--until", str(END))
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "wan_exporter", *arguments)
    assert await process.wait() == 0
    await asyncio.to_thread(
        promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(history), str(tmp_path / "data")
    )
    async with prometheus(tmp_path, jobs="  []") as server:
        end = float(END)
        problems = [problem for board in BOARDS for problem in await unanswered(server, board, name, end)]
        assert not problems
        assert await fired(server, end) - ARTEFACTS.get(name, set()) == SCENARIOS[name].fires


async def unanswered(server: Prometheus, board: Json, scenario: str, end: float) -> list[str]:
    """What is wrong with the answers to the queries of ``board``, in words."""
    found: list[str] = []
    for title, target in targets(board):
        series = await over_time(server, filled_in(target["expr"]), end)
        needed = SHOWN_IN.get(title, scenario) == scenario
        if not series and needed:
            found.append(f"{board['title']}, {title}: no data for {target['expr']}")
        wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"])) - {"le"}
        for one in series:
            if missing := wanted - set(one["metric"]):
                found.append(f"{board['title']}, {title}: no {missing} for its legend")
            if any(value == "NaN" for _, value in one["values"]):
                found.append(f"{board['title']}, {title}: NaN")
    for annotation in board["annotations"]["list"]:
        marks = await over_time(server, filled_in(annotation["expr"]), end)
        if MARKED_IN[annotation["name"]] == scenario and not marks:
            found.append(f"{board['title']}: no mark {annotation['name']}")
    for name, variable in variables(board).items():
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
            assert match is not None
            scope = {"match[]": filled_in(match[1]), "start": f"{end - HOURS * 3600}", "end": f"{end}"}
            values = await server.api(f"label/{match[2]}/values", **scope)
            if not values:
                found.append(f"{board['title']}: ${name} has no values")
    return found


async def over_time(server: Prometheus, expression: str, end: float) -> list[dict[str, Any]]:
    """The series of ``expression`` in the whole history."""
    start = end - HOURS * 3600
    data = await server.api("query_range", query=expression, start=f"{start}", end=f"{end}", step="120")
    return list(data["result"])


async def fired(server: Prometheus, end: float) -> set[str]:
    """Alerts whose condition held for as long as it must."""
    found: set[str] = set()
    for rule in RULES:
        expression = written_out(rule["expr"])
        needed = minutes(rule["for"]) if "for" in rule else 0
        held = await over_time(server, f"count_over_time(({expression})[{needed + 1}m:1m])", end)
        if any(float(value) > needed for series in held for _, value in series["values"]):
            found.add(rule["alert"])
    return found


def written_out(expression: str) -> str:
    """``expression`` with what is recorded in the place of its name."""
    for name, recorded in RECORDED.items():
        expression = re.sub(rf"{re.escape(name)}\[(\w+)\]", rf"({recorded})[\1:1m]", expression)
    while names := [name for name in RECORDED if name in expression]:
        for name in names:
            expression = expression.replace(name, f"({RECORDED[name]})")
    return expression


def minutes(duration: str) -> int:
    return int(duration[:-1]) * UNITS[duration[-1]]
