"""The committed dashboards: built by the package, consistent, about real metrics, linked with each other."""

import re
from itertools import combinations

import pytest

from tests.grafana.boards import ALL, BOARDS, RUNBOOKS, Json, panels, targets, variables
from tests.grafana.repository import GRAFANA, built_files, exported_samples, load_yaml, matchers_in, metrics_in
from tests.grafana.repository import exported_labels as labels

each_board = pytest.mark.parametrize("board", BOARDS, ids=[board["uid"] for board in BOARDS])
ENUMS = {"wantui_deployment_state", "wantui_deployment_verdict", "wantui_job_phase", "wantui_gpu_recovery_action"}


def test_a_rebuild_gives_the_committed_bytes() -> None:
    built = built_files()
    folders = (GRAFANA / "dashboards", GRAFANA / "provisioning" / "alerting")
    generated = [GRAFANA / "prometheus" / "recording.yml", *(file for folder in folders for file in folder.iterdir())]
    assert {str(file.relative_to(GRAFANA)): file.read_text(encoding="utf-8") for file in generated} == built
    assert built_files() == built


def test_the_dashboards_keep_their_addresses() -> None:
    assert {board["uid"]: board["title"] for board in ALL} == {
        "wantui-fleet": "Wan fleet",
        "wantui-deployment": "Wan deployment",
        "wantui-compatibility": "Wan compatibility",
        "wantui-gpu": "Wan GPU",
        "wantui-exporter": "Wan exporter health",
        RUNBOOKS: "Wan runbooks",
    }


@each_board
def test_every_dashboard_has_the_same_variables_and_links_that_keep_them(board: Json) -> None:
    assert list(variables(board)) == ["datasource", "job", "instance", "gpu", "deployment"]
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["keepTime"], link["includeVars"]) == ("dashboards", ["wantui"], True, True)
    assert board["tags"] == ["wantui"]
    used = set(re.findall(r"\$(\w+)", " ".join(target["expr"] for _, target in targets(board))))
    assert {name for name in used if not name.startswith("__")} <= set(variables(board))


@each_board
def test_panels_are_distinct_and_fill_the_width_without_overlap(board: Json) -> None:
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert len({panel["title"] for panel in panels(board)}) == len(panels(board))
    for panel in panels(board):
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0, panel["title"]
    boxes = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    for y in {box["y"] for _, box in boxes}:
        assert sum(box["w"] for _, box in boxes if box["y"] == y) == 24, f"row at {y}"
    assert all(box["x"] + box["w"] <= 24 for _, box in boxes)
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], f"{one} overlaps {other}"


@each_board
def test_everything_reads_the_chosen_data_source(board: Json) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(board):
        assert panel["datasource"] == chosen, panel["title"]
        assert all(target["datasource"] == chosen for target in panel["targets"]), panel["title"]
    assert all(annotation["datasource"] == chosen for annotation in board["annotations"]["list"])
    for variable in variables(board).values():
        if variable["type"] == "query":
            assert (variable["datasource"], variable["refresh"], variable["multi"]) == (chosen, 2, True)
        else:
            assert (variable["name"], variable["query"]) == ("datasource", "prometheus")


@each_board
def test_only_exported_metrics_are_named_and_each_description_names_them(board: Json) -> None:
    exported = exported_samples()
    for panel in panels(board):
        named = set().union(*(metrics_in(target["expr"]) for target in panel["targets"]))
        assert named <= exported, f"{panel['title']}: {named - exported}"
        families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
        assert metrics_in(panel["description"]) == families, panel["title"]
    for annotation in board["annotations"]["list"]:
        assert metrics_in(annotation["expr"]) <= exported


@each_board
def test_conditions_are_on_labels_and_words_that_exist(board: Json) -> None:
    for title, target in targets(board):
        for metric, label, value in matchers_in(target["expr"]):
            if not value.startswith("$"):
                assert value in labels()[metric][label], f"{title}: {metric} is never exported with {label}={value}"


@each_board
def test_every_panel_has_a_unit_or_words_a_legend_and_says_when_there_is_nothing(board: Json) -> None:
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults.get("unit") or defaults.get("mappings"), panel["title"]
        assert defaults["noValue"], panel["title"]
        if panel["type"] in ("timeseries", "state-timeline"):
            assert panel["options"]["legend"]["showLegend"], panel["title"]
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@each_board
def test_enumerations_over_time_are_state_timelines(board: Json) -> None:
    for panel in panels(board):
        named = set().union(*(metrics_in(target["expr"]) for target in panel["targets"]))
        assert panel["type"] != "graph"
        assert panel["type"] != "timeseries" or not named & ENUMS, panel["title"]


@each_board
def test_what_is_estimated_stands_beside_what_was_observed(board: Json) -> None:
    for panel in panels(board):
        named = set().union(*(metrics_in(target["expr"]) for target in panel["targets"]))
        if estimated := {name for name in named if "_estimated_" in name}:
            assert named - estimated, panel["title"]


# --- Grafana-managed alerts and provisioning --------------------------------------------------------------------------


def test_grafanas_alerts_have_the_expressions_texts_and_times_of_prometheus() -> None:
    ours = [
        rule
        for group in load_yaml(GRAFANA / "prometheus" / "rules.yml")["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    theirs = [
        rule
        for group in load_yaml(GRAFANA / "provisioning" / "alerting" / "wan-tui.yaml")["groups"]
        for rule in group["rules"]
    ]
    assert [rule["data"][0]["model"]["expr"] for rule in theirs] == [rule["expr"] for rule in ours]
    assert [(rule["title"], rule["for"], rule["labels"]) for rule in theirs] == [
        (f"{rule['alert']} ({rule['labels']['severity']})", rule.get("for", "0s"), rule["labels"]) for rule in ours
    ]
    for grafana, prometheus in zip(theirs, ours, strict=True):
        assert set(grafana["annotations"]) == set(prometheus["annotations"])
        assert "$value " not in str(grafana["annotations"]), "a sentence in Grafana, not a number"
        assert [entry["refId"] for entry in grafana["data"]] == ["query", "found", grafana["condition"]]
    assert len({rule["uid"] for rule in theirs}) == len(theirs)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", rule["uid"]) for rule in theirs)


def test_grafana_finds_the_dashboards_and_the_data_source_of_its_alerts() -> None:
    provisioning = GRAFANA / "provisioning"
    (source,) = load_yaml(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    alerts = (provisioning / "alerting" / "wan-tui.yaml").read_text()
    used = set(re.findall(r"datasourceUid: (\S+)", alerts)) - {"__expr__"}
    assert used == {source["uid"]}
    services = load_yaml(GRAFANA / "compose.yaml")["services"]
    mounted = dict(volume.split(":")[:2] for service in services.values() for volume in service.get("volumes", []))
    (provider,) = load_yaml(provisioning / "dashboards" / "wan-tui.yaml")["providers"]
    assert mounted["./dashboards"] == provider["options"]["path"]
    for host in mounted:
        if host.startswith("./"):
            assert (GRAFANA / host).exists(), host
    assert source["url"].partition("//")[2].split(":")[0] in services or "localhost" in source["url"]
