"""What all dashboards share: variables, links, annotations, and panels laid out row by row."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, statetimeline, table, text, timeseries
from grafana_foundation_sdk.builders import dashboard as d
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dm

from wan_dashboards.queries import DATASOURCE, DEPLOYMENT, GPU, HOST

Panel = bargauge.Panel | heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | text.Panel | timeseries.Panel
COLUMNS = 24
TAG = "wantui"


@dataclass(frozen=True)
class Line:
    """Panels side by side, ``height`` units high; each takes its share of the width unless ``widths`` say."""

    height: int
    panels: Sequence[Panel]
    widths: Sequence[int] = ()


@dataclass(frozen=True)
class Section:
    """A titled row of the dashboard."""

    title: str
    lines: Sequence[Line]


@dataclass(frozen=True, kw_only=True)
class Board:
    """A dashboard, built anew on every call. ``annotated``: with the annotations of deployments and GPUs."""

    uid: str
    title: str
    description: str
    sections: Sequence[Section]
    time_from: str = "now-3h"
    with_variables: bool = True
    annotations: Sequence["Annotation"] = field(default=())

    @property
    def file(self) -> str:
        return f"{self.uid.replace('wantui-', 'wan-')}.json"

    def json(self) -> str:
        built = json.loads(JSONEncoder(sort_keys=True).encode(self._build()))
        built["annotations"] = {"list": [annotation.json() for annotation in self.annotations]}
        return json.dumps(built, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def _build(self) -> dm.Dashboard:
        builder = (
            d.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .tooltip(dm.DashboardCursorSync.CROSSHAIR)
            .refresh("30s")
            .time(self.time_from, "now")
            .timezone("browser")
            .link(
                d.DashboardLink("wan-tui dashboards")
                .type(dm.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)
                .keep_time(True)
                .include_vars(True)
            )
        )
        for one in _variables() if self.with_variables else ():
            builder = builder.with_variable(one)
        identifier, y = 1, 0
        for section in self.sections:
            if section.title:
                builder = builder.with_row(d.Row(section.title).id(identifier).grid_pos(at(0, y, COLUMNS, 1)))
                identifier, y = identifier + 1, y + 1
            for line in section.lines:
                x = 0
                widths = line.widths or [COLUMNS // len(line.panels)] * len(line.panels)
                for panel, width in zip(line.panels, widths, strict=True):
                    builder = builder.with_panel(panel.id(identifier).grid_pos(at(x, y, width, line.height)))
                    identifier, x = identifier + 1, x + width
                y += line.height
        return builder.build()


def at(x: int, y: int, width: int, height: int) -> dm.GridPos:
    return dm.GridPos(x=x, y=y, w=width, h=height)


def _variables() -> Iterable[d.DatasourceVariable | d.QueryVariable]:
    yield d.DatasourceVariable("datasource").label("Data source").type("prometheus")
    yield _variable("job", "Job", "label_values(wantui_build_info, job)", all_value=None)
    yield _variable("instance", "Host", 'label_values(wantui_build_info{job=~"$job"}, instance)')
    yield _variable("gpu", "GPU", f"label_values(wantui_gpu_up{{{HOST}}}, gpu)")
    yield _variable("deployment", "Deployment", f"label_values(wantui_deployment_info{{{HOST}}}, deployment)")


def _variable(name: str, label: str, values: str, *, all_value: str | None = ".*") -> d.QueryVariable:
    builder = (
        d.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(values)
        .refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dm.VariableSort.NATURAL_ASC)
        .multi(True)
        .include_all(True)
        .current(dm.VariableOption(text="All", value="$__all"))
    )
    return builder if all_value is None else builder.all_value(all_value)


@dataclass(frozen=True)
class Annotation:
    """Marks on every graph where ``expression`` has a value; the builder of the SDK knows no Prometheus ones."""

    name: str
    expression: str
    text: str
    color: str

    def json(self) -> dict[str, Any]:
        return {
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "enable": True,
            "expr": self.expression,
            "hide": False,
            "iconColor": self.color,
            "name": self.name,
            "step": "30s",
            "tagKeys": "instance",
            "textFormat": self.text,
            "titleFormat": self.name,
        }


# With $__interval, what happens between two windows would have no mark.
STATE_CHANGES = Annotation(
    "State changes",
    f"changes(wantui_deployment_state_changed_timestamp_seconds{{{DEPLOYMENT}}}[$__rate_interval]) > 0",
    "{{deployment}} changed its state",
    "blue",
)
OUT_OF_MEMORY = Annotation(
    "Out of memory",
    f"sum by (instance, deployment, phase) (increase(wantui_oom_errors_total{{{DEPLOYMENT}}}[$__rate_interval])) > 0",
    "{{deployment}} ran out of memory in {{phase}}",
    "red",
)
GPU_LOST = Annotation("GPU lost", f"wantui_gpu_up{{{GPU}}} == 0", "GPU {{gpu}} is lost", "dark-red")
XID = Annotation(
    "Xid",
    f"sum by (instance, gpu, xid) (increase(wantui_gpu_xid_errors_total{{{GPU}}}[$__rate_interval])) > 0",
    "GPU {{gpu}} reported Xid {{xid}}",
    "orange",
)
