"""The panels that there are, each with what all of its kind have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import common as c
from grafana_foundation_sdk.builders import dashboard as d
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models import heatmap as hm

from wan_dashboards.queries import DATASOURCE, HOST, buckets, query, rows

Threshold = tuple[float | None, str]
Thresholds = tuple[Threshold, ...]
Query = tuple[str, str]
"""An expression and its legend."""

# How a figure is judged; without any value (no GPU in the whole selection) nothing is.
GOOD: Thresholds = ((None, "text"), (0, "red"), (1, "green"))
BAD: Thresholds = ((None, "text"), (0, "green"), (1, "red"))
NEUTRAL: Thresholds = ((None, "text"),)
# What a panel says when nothing is there to show.
NOTHING = "no data"


def figures(title: str, description: str, *parts: tuple[str, str, Thresholds], unit: str = "short") -> stat.Panel:
    """Figures side by side, each with its name, its query and the colours that judge it."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value("none")
        .thresholds(steps(*NEUTRAL))
        .color_mode(cm.BigValueColorMode.VALUE)
        .graph_mode(cm.BigValueGraphMode.NONE)
        .text_mode(cm.BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(c.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    for ref, (name, expression, judgement) in zip("ABCDEFGH", parts, strict=False):
        panel = panel.with_target(query(expression, name, ref)).override_by_name(
            name, [dm.DynamicConfigValue(id_val="thresholds", value=absolute(judgement))]
        )
    return panel


def targets() -> stat.Panel:
    return figures(
        "Targets",
        "Exporters that answer Prometheus, and those that do not. Metric: up.",
        ("up", f"sum(up{{{HOST}}})", GOOD),
        ("down", f"sum(1 - up{{{HOST}}})", BAD),
    )


def lines(title: str, unit: str, description: str, *queries: Query) -> timeseries.Panel:
    return signed_lines(title, unit, description, *queries).min(0)


def signed_lines(title: str, unit: str, description: str, *queries: Query) -> timeseries.Panel:
    """Lines of a figure that may be negative."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(NOTHING)
        .line_width(2)
        .fill_opacity(0)
        .show_points(cm.VisibilityMode.AUTO)
        .color_scheme(d.FieldColor().mode(dm.FieldColorModeId.PALETTE_CLASSIC))
        .tooltip(c.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING))
        .legend(
            c.VizLegendOptions()
            .display_mode(cm.LegendDisplayMode.LIST)
            .placement(cm.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
    )
    for ref, (expression, legend) in zip("ABCDEFGHIJ", queries, strict=False):
        panel = panel.with_target(query(expression, legend, ref))
    return panel


def stacked(title: str, unit: str, description: str, *queries: Query) -> timeseries.Panel:
    panel = lines(title, unit, description, *queries).fill_opacity(60).line_width(0)
    return panel.stacking(c.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))


def counted(title: str, description: str, *queries: Query) -> timeseries.Panel:
    """Whole numbers, as steps."""
    panel = lines(title, "short", description, *queries).decimals(0)
    return panel.line_interpolation(cm.LineInterpolation.STEP_AFTER)


def bars(title: str, unit: str, description: str, *queries: Query) -> timeseries.Panel:
    """How much in each hour."""
    panel = lines(title, unit, description, *queries).draw_style(cm.GraphDrawStyle.BARS).fill_opacity(60).line_width(0)
    return panel.stacking(c.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))


def dashed(panel: timeseries.Panel, pattern: str) -> timeseries.Panel:
    """Series whose legend matches are estimates or limits: dashed."""
    return panel.override_by_regexp(
        pattern, [dm.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 8]})]
    )


def limit_line(panel: timeseries.Panel, *pairs: Threshold) -> timeseries.Panel:
    style = c.GraphThresholdsStyleConfig().mode(cm.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(steps(*pairs)).thresholds_style(style)


def timeline(title: str, description: str, words: Mapping[str, str], *queries: Query) -> statetimeline.Panel:
    """One bar per series; its value is the place of a word in ``words``."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .mappings([mapping(words)])
        .no_value(NOTHING)
        .fill_opacity(70)
        .line_width(0)
        .row_height(0.8)
        .merge_values(True)
        .show_value(cm.VisibilityMode.AUTO)
        .color_scheme(d.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
        .legend(  # without one the builder writes a legend that is switched off
            c.VizLegendOptions()
            .display_mode(cm.LegendDisplayMode.LIST)
            .placement(cm.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
    )
    for ref, (expression, legend) in zip("ABCDEFGHIJ", queries, strict=False):
        panel = panel.with_target(query(expression, legend, ref))
    return panel


def heat(title: str, unit: str, description: str, expression: str) -> heatmap.Panel:
    """Buckets of a histogram over time: how many observations in each."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(NOTHING)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(hm.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(cm.AxisPlacement.LEFT))
        .show_legend()
        .with_target(buckets(expression))
    )


def gauges(title: str, unit: str, description: str, *queries: Query, judged: Thresholds = NEUTRAL) -> bargauge.Panel:
    """A bar per series with its value now."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(NOTHING)
        .orientation(cm.VizOrientation.HORIZONTAL)
        .min(0)
        .display_mode(cm.BarGaugeDisplayMode.BASIC)
        .thresholds(steps(*judged))
        .reduce_options(c.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    for ref, (expression, legend) in zip("ABCDEFGHIJ", queries, strict=False):
        panel = panel.with_target(query(expression, legend, ref))
    return panel


@dataclass(frozen=True)
class Column:
    """A column of a table. ``label``: from a label of the query's series; otherwise its value, titled ``title``."""

    title: str
    label: str | None = None
    expression: str | None = None
    unit: str | None = None
    words: Mapping[str, str] | None = None
    judged: Thresholds | None = None
    width: int | None = None
    link: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def grid(title: str, description: str, *columns: Column, sort_by: str | None = None) -> table.Panel:
    """A table: every expression is asked for its value now, and rows with equal labels become one."""
    panel = table.Panel().title(title).description(description).datasource(DATASOURCE).unit("short").no_value(NOTHING)
    expressions = [column for column in columns if column.expression is not None]
    for ref, column in zip("ABCDEFGHIJ", expressions, strict=False):
        assert column.expression is not None
        panel = panel.with_target(rows(column.expression, ref))
    names: dict[str, str] = {}
    for place, column in enumerate(expressions):
        # With one query Grafana calls its column plainly so.
        names[column.title] = f"Value #{'ABCDEFGHIJ'[place]}" if len(expressions) > 1 else "Value"
    for column in columns:
        if column.label is not None:
            names[column.title] = column.label
    shown = {names[column.title]: place for place, column in enumerate(columns)}
    hidden = ("Time", "job", "__name__", "uuid", *_infos(columns, names))
    panel = panel.with_transformation(dm.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(
        dm.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(hidden, True),
                "indexByName": shown,
                "renameByName": {source: title for title, source in names.items()},
            },
        )
    )
    for column in columns:
        if settings := _settings(column):
            panel = panel.override_by_name(column.title, settings)
    return panel if sort_by is None else panel.sort_by([c.TableSortByFieldState().display_name(sort_by).desc(False)])


def _infos(columns: Sequence[Column], names: Mapping[str, str]) -> list[str]:
    """Values that are always 1: their labels are what the table shows."""
    return [names[column.title] for column in columns if column.expression is not None and column.title.startswith("_")]


def _settings(column: Column) -> list[dm.DynamicConfigValue]:
    found = [dm.DynamicConfigValue(id_val=key, value=value) for key, value in column.settings.items()]
    if unit := column.unit or ("string" if column.label else None):
        found.append(dm.DynamicConfigValue(id_val="unit", value=unit))
    if column.width:
        found.append(dm.DynamicConfigValue(id_val="custom.width", value=column.width))
    if column.words is not None:
        found.append(dm.DynamicConfigValue(id_val="mappings", value=[mapping(column.words)]))
    if column.judged is not None:
        found.append(dm.DynamicConfigValue(id_val="thresholds", value=absolute(column.judged)))
    if column.words is not None or column.judged is not None:
        found.append(dm.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}))
    if column.link is not None:
        link = {"title": "Open", "url": column.link}
        found.append(dm.DynamicConfigValue(id_val="links", value=[link]))
    return found


def mapping(words: Mapping[str, str]) -> dm.ValueMap:
    return dm.ValueMap(
        options={
            str(place): dm.ValueMappingResult(text=word.replace("_", " "), color=name, index=place)
            for place, (word, name) in enumerate(words.items())
        }
    )


def steps(*pairs: Threshold) -> d.ThresholdsConfig:
    return (
        d.ThresholdsConfig()
        .mode(dm.ThresholdsMode.ABSOLUTE)
        .steps([dm.Threshold(value=value, color=name) for value, name in pairs])
    )


def absolute(pairs: Thresholds) -> dict[str, Any]:
    return {"mode": "absolute", "steps": [{"value": value, "color": name} for value, name in pairs]}


def colored(name: str) -> list[dm.DynamicConfigValue]:
    return [dm.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": name})]
