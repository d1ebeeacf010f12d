"""What to do about a deployment that is silent, stuck, idle or broken: decisions without any doing."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wan_tui.core.config.settings import SupervisionSettings
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.vitals import Vitals
from wan_tui.core.units import format_bytes
from wan_tui.core.words import LoadFailureReason, LoadState, RestartReason

# Failures that a second try cannot mend.
PERMANENT = (LoadFailureReason.INCOMPATIBLE, LoadFailureReason.CHECKPOINT, LoadFailureReason.ENVIRONMENT)
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 5.0, 300.0
# How long memory may take to come back after a job ran out of it.
MEMORY_PATIENCE_SECONDS = 5.0


class Step(StrEnum):
    """What a decision asks for."""

    KILL = "kill"
    UNLOAD = "unload"
    RESTART = "restart"
    REPLACE = "replace"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Decision:
    step: Step
    reason: RestartReason
    text: str


def decide(
    deployment: Deployment, vitals: Vitals, policy: SupervisionSettings, *, waiting: bool, now: float
) -> Decision | None:
    """The next thing to do about ``deployment``, if anything. ``waiting``: it has jobs in the queue."""
    match deployment.state:
        case LoadState.LOADING | LoadState.LOADED if deployment.worker is not None:
            return _of_running(deployment, vitals, policy, waiting=waiting, now=now)
        case LoadState.FAILED if deployment.pinned or waiting:
            return _of_failed(deployment, vitals, policy, waiting=waiting, now=now)
        case _:
            return None


def _of_running(
    deployment: Deployment, vitals: Vitals, policy: SupervisionSettings, *, waiting: bool, now: float
) -> Decision | None:
    silent = now - vitals.heard_at
    # Until it has imported its libraries, a worker says nothing: that is a load that may not stand still.
    speaks = deployment.state is LoadState.LOADED or deployment.worker_status is not None
    if speaks and silent > policy.worker_silence_seconds:
        text = f"worker gave no sign of life for {silent:.0f} s"
        return Decision(Step.KILL, RestartReason.STALLED, text)
    stuck = now - vitals.progress_at
    if deployment.state is LoadState.LOADING and stuck > policy.load_stall_seconds:
        text = f"loading made no progress for {stuck:.0f} s (last: {deployment.load_stage or 'starting'})"
        return Decision(Step.KILL, RestartReason.STALLED, text)
    if vitals.ran_out_at is not None and now - vitals.ran_out_at > MEMORY_PATIENCE_SECONDS:
        held, before = format_bytes(vitals.held_bytes), format_bytes(vitals.held_idle_bytes)
        text = f"worker still holds {held} after an out-of-memory, {before} before it"
        return Decision(Step.REPLACE, RestartReason.OUT_OF_MEMORY, text)
    alive = deployment.settings.keep_alive_seconds
    idle = deployment.state is LoadState.LOADED and deployment.running_job is None and not waiting
    if idle and not deployment.pinned and alive >= 0 and now - vitals.idle_since >= alive:
        return Decision(Step.UNLOAD, RestartReason.OPERATOR, f"idle for {now - vitals.idle_since:.0f} s")
    return None


def _of_failed(
    deployment: Deployment, vitals: Vitals, policy: SupervisionSettings, *, waiting: bool, now: float
) -> Decision | None:
    if vitals.failed_at is None or (deployment.load_failure is not None and deployment.load_failure[0] in PERMANENT):
        return None
    if breaker_open(vitals.restarts, policy, now):
        text = f"{deployment.failure}; started again {policy.restarts} times within half an hour"
        return Decision(Step.GIVE_UP, vitals.failure, text) if waiting else None
    if now - vitals.failed_at < backoff_seconds(vitals.restarts, now):
        return None
    number = len(recent(vitals.restarts, now)) + 1
    return Decision(Step.RESTART, vitals.failure, f"restart {number} of at most {policy.restarts}")


def recent(restarts: Sequence[float], now: float) -> list[float]:
    """Restarts of the last half hour."""
    return [at for at in restarts if now - at < 1800]


def backoff_seconds(restarts: Sequence[float], now: float) -> float:
    """How long to wait after a failure: twice as long after each recent restart."""
    return min(FIRST_BACKOFF_SECONDS * 2.0 ** len(recent(restarts, now)), LONGEST_BACKOFF_SECONDS)


def breaker_open(restarts: Sequence[float], policy: SupervisionSettings, now: float) -> bool:
    """Whether so many restarts failed that only an operator should try again."""
    return len(recent(restarts, now)) >= policy.restarts


def idle_unload_at(deployment: Deployment, vitals: Vitals, *, waiting: bool) -> float | None:
    """Unix time at which an idle deployment will be unloaded, None when it will not."""
    alive = deployment.settings.keep_alive_seconds
    idle = deployment.state is LoadState.LOADED and deployment.running_job is None and not waiting
    if not idle or deployment.pinned or alive < 0:
        return None
    return time.time() + vitals.idle_since + alive - time.monotonic()
