"""Snapshot to lines: the alerts that fire. Pure, as ``format``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.core.units import format_bytes, format_ratio, format_seconds
from wan_tui.ui import glyphs
from wan_tui.ui.format_jobs import clock_time
from wan_tui.ui.text import (
    Column,
    Frame,
    Line,
    Role,
    Row,
    Span,
    View,
    clean,
    fit_columns,
    marked,
    pad,
    rule,
    shorten,
    table_line,
    text,
)

if TYPE_CHECKING:
    from wan_tui.core.alerts.alert import Alert
    from wan_tui.core.snapshot import Snapshot

ROLES = {"critical": Role.ERROR, "warning": Role.WARN, "info": Role.ACCENT}
_BYTES = ("WanTuiStorageLow", "WanTuiGpuForeignMemory", "WanTuiVramNotReleased")
_SECONDS = ("WanTuiPollerStale", "WanTuiValidationStale", "WanTuiGenerationStalled", "WanTuiQueueDelayed")
_RATIOS = ("WanTuiJobFailureRatioHigh", "WanTuiVramEstimateOptimistic", "WanTuiGenerationSlowerThanEstimate")


def count(snapshot: Snapshot, *, short: bool = False) -> Line:
    """How many fire, for the head of every screen; nothing when none does."""
    if not snapshot.alerts:
        return ()
    role = ROLES[snapshot.alerts[0].severity]
    many = len(snapshot.alerts)
    return text(f"{glyphs.WARN} {many}" if short else f"{glyphs.WARN} {many} alert{'' if many == 1 else 's'}", role)


def alerts(snapshot: Snapshot, view: View) -> Frame:
    """Every alert that fires: how bad, about what, what it says, since when; nothing at all when none does."""
    if not snapshot.alerts:
        return Frame()
    columns = (
        Column("SEVERITY", 10),
        Column("ABOUT", min(max(len(alert.subject) for alert in snapshot.alerts) + 1, 16)),
        Column("SUMMARY", 42, grow=True, limit=90),
        Column("VALUE", 10, 2, right=True),
        Column("SINCE", 8, 1, right=True),
    )
    fitted = fit_columns(columns, view.width - 4)
    rows = []
    for alert in snapshot.alerts:
        key = f"{alert.name} {alert.severity} {alert.subject} {alert.rule}"
        role = ROLES[alert.severity]
        cells = (
            (Span(f"{glyphs.WARN} ", role), Span(alert.severity, role)),
            text(clean(alert.subject) or "host", Role.STRONG),
            lambda width, alert=alert: text(shorten(_said(alert), width)),
            text(_value(alert), Role.DIM),
            text(clock_time(alert.since), Role.DIM),
        )
        selected = view.focused and view.cursor == key
        rows.append(Row(pad(marked(table_line(fitted, columns, cells), selected), view.width), key))
    worst = [severity for severity in ROLES if any(alert.severity == severity for alert in snapshot.alerts)]
    counts = ", ".join(f"{sum(a.severity == severity for a in snapshot.alerts)} {severity}" for severity in worst)
    return Frame((rule("ALERTS", text(counts, ROLES[worst[0]]), view),), tuple(rows))


def _said(alert: Alert) -> str:
    return f"{alert.summary.rstrip('.')} ({alert.rule.replace('_', ' ')})" if alert.rule else alert.summary.rstrip(".")


def _value(alert: Alert) -> str:
    if alert.name in _BYTES:
        return format_bytes(alert.value)
    if alert.name in _SECONDS:
        return format_seconds(alert.value)
    if alert.name in _RATIOS:
        return format_ratio(alert.value)
    return f"{alert.value:.0f}" if alert.value > 1 else ""
