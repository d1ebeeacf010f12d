"""Names never surprise: goldens, code, METRICS.md, rules and dashboards speak of the same families."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.exporter.goldens import COMMAND, SCENARIOS, golden, scrape
from tests.exporter.live import promtool
from tests.snapshot_parts import h100
from wan_exporter.documentation import SERIES_BUDGET, Family, families, metrics_markdown
from wan_exporter.families_gpu import OTHER_XID, XIDS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "exporter" / "METRICS.md"
each_scenario = pytest.mark.parametrize("name", SCENARIOS)
SUFFIXES = re.compile(r"_(bucket|sum|count)$")
RECORDED = re.compile(r"\w+:\w+(?::\w+)*")


def exported() -> dict[str, Family]:
    return {family.name: family for family in families()}


def sampled(name: str) -> dict[str, list[dict[str, str]]]:
    """Family, as it is documented -> the labels of each of its series in a golden."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(golden(name).read_text()):
        documented = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            found.setdefault(documented, []).append(sample.labels)
    return found


# --- goldens --------------------------------------------------------------------------------------------------------


@each_scenario
def test_a_scrape_is_the_golden_one(name: str) -> None:
    assert golden(name).read_text() == scrape(SCENARIOS[name]()), f"if this is what you want: {COMMAND}"


@each_scenario
def test_promtool_finds_nothing_in_a_golden(name: str) -> None:
    promtool("check", "metrics", text=golden(name).read_text())


@each_scenario
def test_every_series_is_of_a_documented_family_with_its_labels(name: str) -> None:
    for family, series in sampled(name).items():
        assert family in exported(), f"{family} is not documented"
        for labels in series:
            assert set(labels) - {"le"} == set(exported()[family].labels), family


def test_every_documented_family_is_in_a_golden() -> None:
    shown = {family for name in SCENARIOS for family in sampled(name)}
    assert set(exported()) - shown == set()


def test_no_scenario_has_a_series_that_does_not_apply_to_it() -> None:
    assert not [
        family for family in sampled("no-gpu") if family.startswith(("wantui_gpu", "wantui_nvml", "wantui_mig"))
    ]
    bare = {family for family in sampled("everything-unsupported") if family.startswith("wantui_gpu")}
    assert bare == {"wantui_gpus", "wantui_gpu_up", "wantui_gpu_info"}
    for family in ("wantui_gpu_utilization_ratio", "wantui_gpu_memory_activity_ratio"):
        assert family not in sampled("mig")
    assert len(sampled("mig")["wantui_mig_info"]) == 4
    assert len(sampled("mig")["wantui_mig_memory_total_bytes"]) == 3, "two compute instances share their memory"
    assert len(sampled("one-4080")["wantui_gpu_up"]) == 1
    lost = sampled("eight-h100-one-lost")
    assert len(lost["wantui_gpu_up"]) == 8
    assert len(lost["wantui_gpu_memory_used_bytes"]) == 7


def test_every_known_xid_starts_at_0_and_a_lost_gpu_keeps_its_own() -> None:
    text = golden("eight-h100-one-lost").read_text()
    values = dict(re.findall(r'^wantui_gpu_xid_errors_total{gpu="6",.*xid="(\w+)"} (\S+)$', text, re.M))
    assert list(values) == [*map(str, XIDS), OTHER_XID]
    assert {xid for xid, value in values.items() if float(value)} == {"79"}
    assert len(re.findall(r'^wantui_gpu_xid_errors_total{gpu="0",.* 0.0$', text, re.M)) == len(XIDS) + 1


def test_the_series_of_a_big_host_stay_within_the_budget() -> None:
    """Eight GPUs that answer, four deployments: what a Prometheus has to keep for such a host."""
    host = SCENARIOS["eight-h100-one-lost"]()
    whole = replace(host, gpus=tuple(gpu if gpu.up else h100(gpu.index) for gpu in host.gpus))
    lines = [line for line in scrape(whole).splitlines() if not line.startswith("#")]
    assert 1000 < len(lines) <= SERIES_BUDGET


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text() == metrics_markdown(), "wan-exporter --print-metrics > exporter/METRICS.md"


def test_the_page_documents_each_family_once_and_says_how_names_change() -> None:
    page = PAGE.read_text()
    for family in families():
        assert page.count(f"| `{family.name}` |") == 1, family.name
        assert "|" not in family.text
    for part in ("How names change", "Deprecated, use", "absent", "collect[]"):
        assert part in page


def test_names_and_types_keep_the_conventions_of_prometheus() -> None:
    units = ("_bytes", "_seconds", "_ratio", "_celsius", "_watts", "_hertz", "_joules")
    for name, family in exported().items():
        assert re.fullmatch(r"wantui_[a-z0-9_]+", name), name
        assert (family.type == "counter") is name.endswith("_total"), name
        assert not {"type", "job", "instance", "host", "pid", "user", "path"} & set(family.labels), name
        assert not re.search(r"milli|mega|percent|_kb|_mb|minutes|_ms\b", name), name
        if family.type == "histogram":
            assert name.endswith(units), name


# --- those who read them --------------------------------------------------------------------------------------------


def named_elsewhere() -> Iterator[tuple[str, str]]:
    """File and every metric of ours that it names: rules, runbooks, dashboards, the overview of the project."""
    folder = ROOT / "grafana"
    for file in (*folder.rglob("*.yml"), *folder.rglob("*.yaml"), *folder.rglob("*.json"), *folder.rglob("*.md")):
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            text = json.dumps(json.loads(text))
        for word in RECORDED.sub(" ", text).split():
            for name in re.findall(r"\bwantui_[a-z0-9_]+\b(?!\*)", word):
                yield str(file.relative_to(ROOT)), name
    for name in re.findall(r"\bwantui_[a-z0-9_]+\b(?!\*)", (ROOT / "README.md").read_text()):
        yield "README.md", name


def test_rules_dashboards_and_texts_name_only_what_is_exported() -> None:
    known = set(exported())
    unknown = {
        (file, name)
        for file, name in named_elsewhere()
        if name not in known and SUFFIXES.sub("", name) not in known and not name.endswith("_")
    }
    assert unknown == set()
    assert len({name for _, name in named_elsewhere()}) > 30, "the search works"
