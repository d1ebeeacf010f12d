"""The committed dashboards: built by the script, consistent, about real metrics, answered by a real Prometheus."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, count
from pathlib import Path
from typing import Any

import pytest

from tests import snapshots
from tests.exporter.live import Prometheus, prometheus
from tests.grafana.repository import GRAFANA, build_module, exported_samples, metrics_in
from tests.snapshot_parts import busy_totals
from wan_exporter.web import create_app, serve
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import Resolution

Json = dict[str, Any]
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
DASHBOARDS: list[Json] = [json.loads(file.read_text(encoding="utf-8")) for file in FILES]
each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=[file.stem for file in FILES])

# What Grafana puts in for its own variables, and for ours when everything is selected.
VALUES = {"job": "wantui", "instance": ".*", "gpu": ".*", "deployment": ".*", "__rate_interval": "2s", "__range": "1h"}


def targets(dashboard: Json) -> Iterator[tuple[str, str]]:
    """Panel title and expression of every query."""
    return ((panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"])


def variables(dashboard: Json) -> dict[str, Json]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def filled_in(expression: str) -> str:
    return re.sub(r"\$(\w+)", lambda match: VALUES[match[1]], expression)


# --- the files ------------------------------------------------------------------------------------------------------


def test_a_rebuild_gives_the_committed_bytes() -> None:
    built: dict[str, str] = build_module().files()
    assert {file.name: file.read_text(encoding="utf-8") for file in FILES} == built


def test_the_overview_keeps_its_address() -> None:
    overview = next(dashboard for dashboard in DASHBOARDS if dashboard["uid"] == "wantui-overview")
    assert overview["title"] == "Wan overview"
    assert list(variables(overview)) == ["datasource", "job", "instance", "gpu", "deployment"]


@each_dashboard
def test_panels_are_distinct_and_do_not_overlap(dashboard: Json) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0, panel["title"]
    boxes = [(panel["title"], panel["gridPos"]) for panel in panels]
    assert all(box["x"] + box["w"] <= 24 for _, box in boxes)
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], f"{one} overlaps {other}"


@each_dashboard
def test_everything_reads_the_chosen_data_source(dashboard: Json) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in dashboard["panels"]:
        assert panel["datasource"] == chosen, panel["title"]
        assert all(target["datasource"] == chosen for target in panel["targets"]), panel["title"]
    for variable in variables(dashboard).values():
        if variable["type"] == "query":
            assert (variable["datasource"], variable["refresh"], variable["multi"]) == (chosen, 2, True)
        else:
            assert (variable["name"], variable["query"]) == ("datasource", "prometheus")


@each_dashboard
def test_every_variable_exists_and_is_used(dashboard: Json) -> None:
    queries = [expression for _, expression in targets(dashboard)]
    queries += [variable["query"] for variable in variables(dashboard).values() if variable["type"] == "query"]
    used = {name for query in queries for name in re.findall(r"\$(\w+)", query) if not name.startswith("__")}
    assert used | {"datasource"} == set(variables(dashboard))


@each_dashboard
def test_only_exported_metrics_are_named_and_each_description_names_them(dashboard: Json) -> None:
    exported = exported_samples()
    for panel in dashboard["panels"]:
        named = set().union(*(metrics_in(target["expr"]) for target in panel["targets"]))
        assert named <= exported, f"{panel['title']}: {named - exported}"
        families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
        assert families <= metrics_in(panel["description"]), panel["title"]
        assert metrics_in(panel["description"]) <= families, panel["title"]


@each_dashboard
def test_every_panel_has_a_unit_or_words_and_a_legend(dashboard: Json) -> None:
    for panel in dashboard["panels"]:
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults.get("unit") or defaults.get("mappings"), panel["title"]
        if panel["type"] != "stat":
            assert panel["options"]["legend"]["showLegend"], panel["title"]


# --- the answers ----------------------------------------------------------------------------------------------------


def busier_every_time(calls: "count[int]") -> Snapshot:
    """Eight GPUs, one job more at each scrape: what rates and means need to have a value."""
    host = snapshots.eight_gpus_one_lost(time.time())
    totals = busy_totals(
        jobs=next(calls), seconds=1190.0, estimated=1150.0, resolution=Resolution.P720, load_seconds=74.0
    )
    return replace(host, deployments=(replace(host.deployments[0], totals=totals), *host.deployments[1:]))


async def test_every_query_has_an_answer(tmp_path: Path) -> None:
    calls = count(1)
    exporter = await serve(create_app(lambda: busier_every_time(calls)), "127.0.0.1", 0)
    try:
        async with prometheus(tmp_path, f"127.0.0.1:{exporter.port}") as server:
            await server.until("count_over_time(up[1m]) >= 3")
            for dashboard in DASHBOARDS:
                await check_answers(server, dashboard)
    finally:
        await exporter.close()


async def check_answers(server: Prometheus, dashboard: Json) -> None:
    for title, expression in targets(dashboard):
        result = await server.query(filled_in(expression))
        assert result, f"{title}: no data for {expression}"
        assert all(float(series["value"][1]) == float(series["value"][1]) for series in result), f"{title}: NaN"
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            for series in await server.query(filled_in(target["expr"])):
                assert wanted <= set(series["metric"]), f"{panel['title']}: legend {target['legendFormat']}"
    for name, variable in variables(dashboard).items():
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
            assert match is not None
            values = await server.api(f"label/{match[2]}/values", **{"match[]": filled_in(match[1])})
            assert values, f"${name} has no values"
