"""Builds the dashboards of Grafana 11.6 or newer into ``dashboards/``: ``python grafana/build_dashboards.py``.

The JSON is committed, so nobody needs this to use it; a test rebuilds it and compares.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from grafana_foundation_sdk.builders import common as c
from grafana_foundation_sdk.builders import dashboard as d
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm

from wan_tui.core.words import LoadState, Verdict

Panel = stat.Panel | statetimeline.Panel | timeseries.Panel

DASHBOARDS = Path(__file__).with_name("dashboards")

DATASOURCE = dm.DataSourceRef(type_val="prometheus", uid="${datasource}")

# What every query selects by; "All" of job lists the jobs, so that `up` counts no other exporter.
HOST = 'job=~"$job", instance=~"$instance"'
GPU = f'{HOST}, gpu=~"$gpu"'
DEPLOYMENT = f'{HOST}, deployment=~"$deployment"'

# Jobs take minutes: means over a shorter window would be mostly gaps.
WINDOW = "1h"

STATE_COLORS: dict[str, str] = {
    LoadState.UNLOADED: "text",
    LoadState.LOADING: "blue",
    LoadState.LOADED: "green",
    LoadState.UNLOADING: "yellow",
    LoadState.FAILED: "red",
}
VERDICT_COLORS: dict[str, str] = {
    Verdict.FITS: "green",
    Verdict.TIGHT: "yellow",
    Verdict.OFFLOAD_REQUIRED: "blue",
    Verdict.INCOMPATIBLE: "red",
    Verdict.UNKNOWN: "text",
}


Threshold = tuple[float | None, str]
Thresholds = tuple[Threshold, ...]

# How a figure is judged; without any value (no GPU in the whole selection) nothing is.
GOOD: Thresholds = ((None, "text"), (0, "red"), (1, "green"))
BAD: Thresholds = ((None, "text"), (0, "green"), (1, "red"))
NEUTRAL: Thresholds = ((None, "text"),)


# --- wan-overview -----------------------------------------------------------------------------------------------------


def overview() -> dm.Dashboard:
    """Are the hosts there, what is loaded, does it fit, how long does it take: one page for all of them."""
    builder = (
        d.Dashboard("Wan overview")
        .uid("wantui-overview")
        .description("GPUs, deployments and generations of the hosts that run wan-exporter.")
        .tags(["wantui"])
        .tooltip(dm.DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .link(
            d.DashboardLink("wan-tui dashboards")
            .type(dm.DashboardLinkType.DASHBOARDS)
            .tags(["wantui"])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(d.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("job", "Job", "label_values(wantui_build_info, job)", all_value=None))
        .with_variable(variable("instance", "Host", 'label_values(wantui_build_info{job=~"$job"}, instance)'))
        .with_variable(variable("gpu", "GPU", f"label_values(wantui_gpu_up{{{HOST}}}, gpu)"))
        .with_variable(
            variable("deployment", "Deployment", f"label_values(wantui_deployment_info{{{HOST}}}, deployment)")
        )
    )
    panels: list[Panel] = [*_now(), *_deployments(), *_memory(), *_time(), *_jobs()]
    for identifier, panel in enumerate(panels, 1):
        builder = builder.with_panel(panel.id(identifier))
    return builder.build()


def _now() -> list[stat.Panel]:
    up, gpu_up = f"up{{{HOST}}}", f"wantui_gpu_up{{{GPU}}}"
    loaded = f'wantui_deployment_state{{{DEPLOYMENT}, state="loaded"}}'
    incompatible = f'wantui_deployment_verdict{{{DEPLOYMENT}, verdict="incompatible"}}'
    running, queued = f"wantui_jobs_running{{{DEPLOYMENT}}}", f"wantui_jobs_queued{{{DEPLOYMENT}}}"
    panels = [
        figures(
            "Targets",
            "Exporters that answer Prometheus, and those that do not. Metric: up.",
            ("up", f"sum({up})", GOOD),
            ("down", f"sum(1 - {up})", BAD),
        ),
        figures(
            "GPUs",
            "GPUs whose last reading worked, and those that are lost or do not answer. Metric: wantui_gpu_up.",
            ("up", f"sum({gpu_up})", GOOD),
            ("lost", f"sum(1 - {gpu_up})", BAD),
        ),
        figures(
            "Deployments",
            "Deployments that are loaded, and those that cannot run on their device. "
            "Metrics: wantui_deployment_state, wantui_deployment_verdict.",
            ("loaded", f"sum({loaded})", NEUTRAL),
            ("incompatible", f"sum({incompatible})", BAD),
        ),
        figures(
            "Jobs",
            "Generations that run, and those that wait. Metrics: wantui_jobs_running, wantui_jobs_queued.",
            ("running", f"sum({running})", NEUTRAL),
            ("queued", f"sum({queued})", NEUTRAL),
        ),
    ]
    return [panel.grid_pos(at(6 * column, 0, 6, 4)) for column, panel in enumerate(panels)]


def _deployments() -> list[statetimeline.Panel]:
    return [
        timeline(
            "Load state",
            enum_code("wantui_deployment_state", "state", STATE_COLORS),
            STATE_COLORS,
            "Load state of each deployment over time. Metric: wantui_deployment_state.",
        ).grid_pos(at(0, 4, 12, 8)),
        timeline(
            "Verdict",
            enum_code("wantui_deployment_verdict", "verdict", VERDICT_COLORS),
            VERDICT_COLORS,
            "Whether each deployment can run on its device. Metric: wantui_deployment_verdict.",
        ).grid_pos(at(12, 4, 12, 8)),
    ]


def _memory() -> list[timeseries.Panel]:
    by_owner = f"sum by (owner) (wantui_gpu_process_memory_bytes{{{GPU}}})"
    return [
        lines("VRAM used", "percentunit", "Used share of each GPU's memory. Metric: wantui_gpu_memory_used_ratio.")
        .max(1)
        .decimals(1)
        .thresholds(steps((None, "green"), (0.95, "red")))
        .thresholds_style(c.GraphThresholdsStyleConfig().mode(cm.GraphThresholdsStyleMode.DASHED))
        .with_target(query(f"wantui_gpu_memory_used_ratio{{{GPU}}}", "GPU {{gpu}} · {{instance}}"))
        .grid_pos(at(0, 12, 12, 9)),
        lines(
            "VRAM by owner",
            "bytes",
            "GPU memory of the selected GPUs: held by workers, by other processes, kept by the driver, free. "
            "Metrics: wantui_gpu_process_memory_bytes, wantui_gpu_memory_reserved_bytes, wantui_gpu_memory_free_bytes.",
        )
        .fill_opacity(60)
        .line_width(0)
        .stacking(c.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))
        .with_target(query(by_owner, "{{owner}}", "A"))
        .with_target(query(f"sum(wantui_gpu_memory_reserved_bytes{{{GPU}}})", "driver", "B"))
        .with_target(query(f"sum(wantui_gpu_memory_free_bytes{{{GPU}}})", "free", "C"))
        .override_by_name("worker", color("blue"))
        .override_by_name("other", color("orange"))
        .override_by_name("driver", color("purple"))
        .override_by_name("free", color("#80808040"))
        .grid_pos(at(12, 12, 12, 9)),
    ]


def _time() -> list[timeseries.Panel]:
    ratio = "wantui_generation_estimate_error_ratio"
    return [
        lines(
            "Generation time, estimated and observed",
            "s",
            "Seconds of the last finished generation, without loading and waiting, beside its estimate (dashed). "
            "Metrics: wantui_generation_last_duration_seconds, wantui_generation_last_estimated_duration_seconds.",
        )
        .line_interpolation(cm.LineInterpolation.STEP_AFTER)
        .with_target(query(f"wantui_generation_last_duration_seconds{{{DEPLOYMENT}}}", legend("observed"), "A"))
        .with_target(
            query(f"wantui_generation_last_estimated_duration_seconds{{{DEPLOYMENT}}}", legend("estimated"), "B")
        )
        .override_by_regexp(
            "/estimated/",
            [dm.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 8]})],
        )
        .grid_pos(at(0, 21, 12, 9)),
        lines(
            "Estimate error",
            "none",
            "Observed divided by estimated seconds, mean of the generations that finished in the hour before; 1 is a "
            f"perfect estimate, above 1 they took longer. Metric: {ratio}.",
        )
        .decimals(2)
        .thresholds(steps((None, "text"), (1, "text"), (1.5, "red")))
        .thresholds_style(c.GraphThresholdsStyleConfig().mode(cm.GraphThresholdsStyleMode.DASHED))
        .with_target(query(mean(ratio, "instance, deployment"), legend()))
        .grid_pos(at(12, 21, 12, 9)),
    ]


def _jobs() -> list[timeseries.Panel]:
    step = "wantui_generation_step_duration_seconds"
    return [
        lines(
            "Step time by expert",
            "s",
            f"Seconds of one denoising step, mean of the hour before. Metric: {step}.",
        )
        .with_target(query(mean(step, "instance, deployment, expert"), legend("{{expert}}")))
        .grid_pos(at(0, 30, 12, 9)),
        lines(
            "Jobs over time",
            "short",
            "Jobs that run and jobs that wait. Metrics: wantui_jobs_running, wantui_jobs_queued.",
        )
        .decimals(0)
        .line_interpolation(cm.LineInterpolation.STEP_AFTER)
        .with_target(query(f"sum by (instance, deployment) (wantui_jobs_running{{{DEPLOYMENT}}})", legend("running")))
        .with_target(
            query(f"sum by (instance, deployment) (wantui_jobs_queued{{{DEPLOYMENT}}})", legend("queued"), "B")
        )
        .grid_pos(at(12, 30, 12, 9)),
    ]


# --- queries ----------------------------------------------------------------------------------------------------------


def query(expression: str, legend: str = "", ref: str = "A") -> prometheus.Dataquery:
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expression).legend_format(legend).ref_id(ref).range()


def legend(what: str = "") -> str:
    """Legend of a series of one deployment: its name, ``what`` of it, its host."""
    return " · ".join(part for part in ("{{deployment}}", what, "{{instance}}") if part)


def mean(histogram: str, by: str) -> str:
    """Mean observation over the last hour; no point where nothing was observed, rather than NaN."""
    total, count = (
        f"sum by ({by}) (increase({histogram}_{part}{{{DEPLOYMENT}}}[{WINDOW}]))" for part in ("sum", "count")
    )
    return f"{total} / ({count} > 0)"


def enum_code(metric: str, label: str, words: Iterable[str]) -> str:
    """One number per deployment that says which word of an enum metric is 1: its place in ``words``."""
    return " + ".join(
        f'{place} * sum by (instance, deployment) ({metric}{{{DEPLOYMENT}, {label}="{word}"}})'
        for place, word in enumerate(words)
    )


# --- panels -----------------------------------------------------------------------------------------------------------


def variable(name: str, label: str, values: str, *, all_value: str | None = ".*") -> d.QueryVariable:
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


def figures(title: str, description: str, *parts: tuple[str, str, Thresholds]) -> stat.Panel:
    """Figures side by side, each with its name, its query and the colours that judge it."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit("short")
        .no_value("none")
        .thresholds(steps(*NEUTRAL))
        .color_mode(cm.BigValueColorMode.VALUE)
        .graph_mode(cm.BigValueGraphMode.NONE)
        .text_mode(cm.BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(c.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    for ref, (name, expression, judgement) in zip("AB", parts, strict=True):
        colors = {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in judgement]}
        panel = panel.with_target(query(expression, name, ref)).override_by_name(
            name, [dm.DynamicConfigValue(id_val="thresholds", value=colors)]
        )
    return panel


def lines(title: str, unit: str, description: str) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .line_width(2)
        .fill_opacity(0)
        .show_points(cm.VisibilityMode.AUTO)
        .color_scheme(d.FieldColor().mode(dm.FieldColorModeId.PALETTE_CLASSIC))
        .tooltip(c.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING))
        .legend(
            c.VizLegendOptions()
            .display_mode(cm.LegendDisplayMode.TABLE)
            .placement(cm.LegendPlacement.RIGHT)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
    )


def timeline(title: str, expression: str, colors: Mapping[str, str], description: str) -> statetimeline.Panel:
    """One bar per deployment; the value of ``expression`` is the place of a word in ``colors``."""
    words = {
        str(place): dm.ValueMappingResult(text=word.replace("_", " "), color=name, index=place)
        for place, (word, name) in enumerate(colors.items())
    }
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .mappings([dm.ValueMap(options=words)])
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
        .with_target(query(expression, legend()))
    )


def steps(*pairs: Threshold) -> d.ThresholdsConfig:
    return (
        d.ThresholdsConfig()
        .mode(dm.ThresholdsMode.ABSOLUTE)
        .steps([dm.Threshold(value=value, color=name) for value, name in pairs])
    )


def color(name: str) -> list[dm.DynamicConfigValue]:
    return [dm.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": name})]


def at(x: int, y: int, width: int, height: int) -> dm.GridPos:
    return dm.GridPos(x=x, y=y, w=width, h=height)


# --- files ------------------------------------------------------------------------------------------------------------


def files() -> dict[str, str]:
    """File name and content of every dashboard; the same text on every call."""
    return {"wan-overview.json": JSONEncoder(sort_keys=True, indent=2).encode(overview()) + "\n"}


def main() -> None:
    for name, text in files().items():
        (DASHBOARDS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
