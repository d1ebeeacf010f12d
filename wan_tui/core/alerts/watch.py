"""Which alerts fire: conditions that have held for as long as their rule says, as Prometheus does it."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from wan_tui.core.alerts.alert import Alert
from wan_tui.core.alerts.rules import RULES, Found, Rule, counters

if TYPE_CHECKING:
    from wan_tui.core.snapshot import Snapshot

SAMPLE_SECONDS = 30.0
KEEP_SECONDS = 6 * 3600.0
_SEVERITIES = ("critical", "warning", "info")


class CounterTrace:
    """Values of counters in the last six hours, one every half minute. What began before is counted from the start."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._values: list[dict[tuple[str, str], float]] = []
        self._now: dict[tuple[str, str], float] = {}
        self._at = 0.0

    def add(self, at: float, values: dict[tuple[str, str], float]) -> None:
        self._now, self._at = values, at
        if self._times and at - self._times[-1] < SAMPLE_SECONDS:
            return
        old = bisect.bisect_left(self._times, at - KEEP_SECONDS)
        del self._times[: max(old - 1, 0)], self._values[: max(old - 1, 0)]
        self._times.append(at)
        self._values.append(values)

    def increase(self, name: str, subject: str, seconds: float) -> float:
        """Growth within the last ``seconds``; a counter that began anew counts from 0."""
        key = (name, subject)
        if key not in self._now:
            return 0.0
        first = max(bisect.bisect_right(self._times, self._at - seconds) - 1, 0)
        grown, before = 0.0, self._values[first].get(key, 0.0)
        for values in (*self._values[first + 1 :], self._now):
            value = values.get(key, before)
            grown += value - before if value >= before else value
            before = value
        return grown


class AlertWatch:
    """Remembers since when conditions hold. Give it a snapshot every second or so."""

    def __init__(self) -> None:
        self._since: dict[tuple[Rule, Found], float] = {}
        self._counters = CounterTrace()
        self.firing: tuple[Alert, ...] = ()

    def look(self, snapshot: Snapshot) -> tuple[Alert, ...]:
        """The alerts that fire now, the worst first, then the longest."""
        now = snapshot.taken_at
        self._counters.add(now, counters(snapshot))
        holding: dict[tuple[Rule, Found], float] = {}
        firing: list[Alert] = []
        for rule in RULES:
            for found in rule.find(snapshot, self._counters.increase):
                key = (rule, found._replace(value=0.0))
                since = holding[key] = self._since.get(key, now)
                if now - since >= rule.for_seconds:
                    firing.append(
                        Alert(rule.alert, rule.severity, found.subject, rule.summary, found.value, since, found.rule)
                    )
        self._since = holding
        firing.sort(key=lambda alert: (_SEVERITIES.index(alert.severity), alert.since, alert.name, alert.subject))
        self.firing = tuple(firing)
        return self.firing
