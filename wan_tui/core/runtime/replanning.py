"""Whether a loaded deployment should get another plan, or another GPU, for its next job: decided without any doing.

A plan that no longer fits is given up for one that runs; a better one is taken when what waits ends sooner by it,
loading again included. What asks for it must last, and a plan is kept for a while: ``ReplanningSettings``.
"""

import dataclasses
from dataclasses import dataclass

from wan_tui.core.config.settings import ReplanningSettings
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.units import format_bytes, format_seconds
from wan_tui.core.words import ReplanReason

# A GPU that was left because steps took long there counts as that slow for so long: nothing shows that it recovered.
REMEMBERED_SECONDS = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A loaded deployment now. Seconds are of one job, as modelled times what slows its device.

    ``short_bytes`` is what the plan in force lacks on its GPU (negative: to spare), ``held_down`` how many times as
    long heat makes everything take there, ``pace`` observed to expected step time. ``offered`` is the plan that would
    be chosen now, ``offered_runs`` whether it fits. ``waiting`` are the jobs in its queue.
    """

    plan: ExecutionPlan
    seconds: float
    short_bytes: int
    offered: ExecutionPlan
    offered_seconds: float
    offered_runs: bool
    load_seconds: float
    waiting: int = 0
    held_down: float = 1.0
    pace: float = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """Another plan, and why, in words for the operator."""

    plan: ExecutionPlan
    reason: ReplanReason
    text: str


@dataclass(frozen=True, slots=True)
class Replanning:
    """What a deployment was asked for: the newest ``wish``, ``since`` when there was one without a break, and whether
    it is ``due``. ``changed_at`` is the last change of its plan. Seconds of the monotonic clock."""

    wish: Wish | None = None
    since: float | None = None
    due: bool = False
    changed_at: float | None = None


def wish_of(now: Situation, policy: ReplanningSettings) -> Wish | None:
    """What would be better than the plan in force, None when nothing is."""
    if not now.offered_runs or now.offered == now.plan:
        return None
    instead = f"{_named(now.offered)} instead of {_named(now.plan)}"
    if now.short_bytes > 0:
        text = f"{instead}: {format_bytes(now.short_bytes)} too little left for the plan in force"
        return Wish(now.offered, ReplanReason.MEMORY_TAKEN, text)
    jobs = max(now.waiting, 1)
    stay, go = jobs * now.seconds, now.load_seconds + jobs * now.offered_seconds
    if go >= stay * (1 - policy.gain_ratio):
        return None
    if now.offered.device == now.plan.device:
        reason, why = ReplanReason.MEMORY_FREED, "there is room for it now"
    elif now.held_down > 1:
        reason, why = ReplanReason.THROTTLED, f"{now.plan.device} is held down to 1/{now.held_down:g} of its clock"
    elif now.pace > 1:
        reason, why = ReplanReason.SLOW_STEPS, f"steps take {now.pace:.1f} times as long as estimated"
    else:
        reason, why = ReplanReason.MEMORY_FREED, f"there is room on {now.offered.device} now"
    number = "the next job ends" if jobs == 1 else f"the next {jobs} jobs end"
    text = f"{instead}: {why}; {number} in {format_seconds(go)} instead of {format_seconds(stay)}"
    return Wish(now.offered, reason, text)


def considered(state: Replanning, wish: Wish | None, policy: ReplanningSettings, now: float) -> Replanning:
    """``state`` after a look at ``now``: only what lasts is due, and no plan is changed soon after the last change.

    A plan that does not fit is not held: its next job would run out of memory.
    """
    if wish is None:
        return dataclasses.replace(state, wish=None, since=None, due=False)
    since = now if state.since is None else state.since
    held = state.changed_at is not None and now - state.changed_at < policy.hold_seconds
    lasted = now - since >= policy.settle_seconds
    due = lasted and (not held or wish.reason is ReplanReason.MEMORY_TAKEN)
    return dataclasses.replace(state, wish=wish, since=since, due=due)


def _named(plan: ExecutionPlan) -> str:
    return f"{plan.device} ({plan.options})" if plan.options else plan.device
