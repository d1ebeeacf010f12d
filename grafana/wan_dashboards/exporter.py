"""*Exporter health*: whether what the other dashboards show is true and fresh."""

from wan_dashboards.board import Board, Line, Panel, Section
from wan_dashboards.panels import BAD, GOOD, counted, dashed, figures, lines, targets, timeline
from wan_dashboards.queries import HOST
from wan_dashboards.words import UP

OF_HOST = "{{instance}}"
OF_POLLER = "{{poller}} · {{instance}}"


def board() -> Board:
    return Board(
        uid="wantui-exporter",
        title="Wan exporter health",
        description="Polls, scrapes, driver calls and the process of wan-exporter itself.",
        sections=(
            Section("Now", [Line(4, _now())]),
            Section("Polls", [Line(9, [_age(), _duration(), _failures()])]),
            Section("Driver and configuration", [Line(7, [_driver(), _stuck(), _config(), _config_age()])]),
            Section("Scrapes and process", [Line(8, [_scrapes(), _samples(), _cpu(), _memory()])]),
        ),
    )


def _now() -> list[Panel]:
    return [
        targets(),
        figures(
            "Driver",
            "Hosts whose driver answers, and calls into it that hang. "
            "Metrics: wantui_nvml_up, wantui_nvml_stuck_calls.",
            ("answers", f"sum(wantui_nvml_up{{{HOST}}})", GOOD),
            ("stuck calls", f"sum(wantui_nvml_stuck_calls{{{HOST}}})", BAD),
        ),
        figures(
            "Configuration",
            "Hosts that refused their last configuration. Metric: wantui_config_last_reload_successful.",
            ("refused", f"sum(1 - wantui_config_last_reload_successful{{{HOST}}})", BAD),
        ),
        figures(
            "Oldest data",
            "Time since the poll that succeeded longest ago. Metric: wantui_poller_last_success_timestamp_seconds.",
            (
                "age",
                f"max(time() - wantui_poller_last_success_timestamp_seconds{{{HOST}}})",
                ((None, "text"), (0, "green"), (60, "yellow"), (210, "red")),
            ),
            unit="s",
        ),
    ]


def _age() -> Panel:
    panel = lines(
        "Age of the data and interval of the polls",
        "s",
        "Time since the last poll that succeeded, beside the configured time between two polls (dashed). "
        "Metrics: wantui_poller_last_success_timestamp_seconds, wantui_poller_interval_seconds.",
        (f"time() - wantui_poller_last_success_timestamp_seconds{{{HOST}}}", f"age of {OF_POLLER}"),
        (f"wantui_poller_interval_seconds{{{HOST}}}", f"interval of {OF_POLLER}"),
    )
    return dashed(panel, "/interval/")


def _duration() -> Panel:
    return lines(
        "Duration of the polls",
        "s",
        "How long the last poll took. Metric: wantui_poller_last_duration_seconds.",
        (f"wantui_poller_last_duration_seconds{{{HOST}}}", OF_POLLER),
    )


def _failures() -> Panel:
    def grown(what: str) -> str:
        return f"increase(wantui_poller_{what}_total{{{HOST}}}[1h])"

    panel = lines(
        "Polls that failed",
        "percentunit",
        "Share of the polls of the hour before that failed or passed their deadline. "
        "Metrics: wantui_poller_failed_polls_total, wantui_poller_polls_total.",
        (f"{grown('failed_polls')} / ({grown('polls')} > 0)", OF_POLLER),
    )
    return panel.max(1)


def _driver() -> Panel:
    text = "Whether the driver answers; absent on a host without one. Metric: wantui_nvml_up."
    return timeline("Driver", text, UP, (f"wantui_nvml_up{{{HOST}}}", OF_HOST)).title("Driver over time")


def _stuck() -> Panel:
    return counted(
        "Driver calls that hang",
        "Calls that passed their deadline and have not returned. Metric: wantui_nvml_stuck_calls.",
        (f"wantui_nvml_stuck_calls{{{HOST}}}", OF_HOST),
    )


def _config() -> Panel:
    text = "Whether the configuration was last read without a mistake. Metric: wantui_config_last_reload_successful."
    words = {"refused": "red", "read": "green"}
    expression = f"wantui_config_last_reload_successful{{{HOST}}}"
    return timeline("Configuration over time", text, words, (expression, OF_HOST))


def _config_age() -> Panel:
    return lines(
        "Age of the configuration",
        "s",
        "Time since the configuration that applies was read. "
        "Metric: wantui_config_last_reload_success_timestamp_seconds.",
        (f"time() - wantui_config_last_reload_success_timestamp_seconds{{{HOST}}}", OF_HOST),
    )


def _scrapes() -> Panel:
    return lines(
        "Scrape duration",
        "s",
        "How long Prometheus waited for the metrics. Metric: scrape_duration_seconds.",
        (f"scrape_duration_seconds{{{HOST}}}", OF_HOST),
    )


def _samples() -> Panel:
    return lines(
        "Samples per scrape",
        "short",
        "Series that each exporter serves. Metric: scrape_samples_scraped.",
        (f"scrape_samples_scraped{{{HOST}}}", OF_HOST),
    )


def _cpu() -> Panel:
    return lines(
        "Processor time",
        "percentunit",
        "Processors that the exporter kept busy; workers are processes of their own. "
        "Metric: process_cpu_seconds_total.",
        (f"rate(process_cpu_seconds_total{{{HOST}}}[5m])", OF_HOST),
    )


def _memory() -> Panel:
    return lines(
        "Resident memory",
        "bytes",
        "Host memory of the exporter; workers are processes of their own. Metric: process_resident_memory_bytes.",
        (f"process_resident_memory_bytes{{{HOST}}}", OF_HOST),
    )
