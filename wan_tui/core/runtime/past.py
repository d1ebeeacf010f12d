"""Finished loads and runs as everyone outside the engine sees them, and how they are asked for."""

import re
from dataclasses import dataclass
from datetime import datetime

from wan_tui.core.errors import UsageError
from wan_tui.core.planning.plan import Clip, GenerationRequest

# The most that one page has.
MAX_PAGE = 500
TOTAL = "total"
KINDS = ("run", "load")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFigure:
    """One stage or phase, or ``total``: modelled, shown (with its 90 % interval) and observed.

    ``unit`` is ``seconds`` or ``bytes``; ``expected`` is None for what was never shown.
    """

    stage: str
    unit: str
    modelled: float | None = None
    low: float | None = None
    expected: float | None = None
    high: float | None = None
    observed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A finished load or run (``kind``). ``first``: the first after a load; ``counts``: calibration learns from it."""

    uid: str
    ended_at: float
    kind: str
    deployment: str
    model: str
    device: str
    plan: str
    first: bool
    counts: bool
    basis: str | None
    runs: int
    driver: str | None
    torch: str | None
    diffusers: str | None
    clip: Clip | None
    request: GenerationRequest | None
    figures: tuple[PastFigure, ...]

    def figure(self, stage: str, unit: str = "seconds") -> PastFigure | None:
        return next((figure for figure in self.figures if (figure.stage, figure.unit) == (stage, unit)), None)

    @property
    def total(self) -> PastFigure | None:
        """Seconds of the whole."""
        return self.figure(TOTAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFilter:
    """Which of them. ``since`` is Unix seconds; every one of ``words`` is in a name or in the prompt."""

    deployment: str | None = None
    kind: str | None = None
    since: float | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPage:
    """Newest first. ``matching`` counts all that the filter lets through; ``more`` asks for the next page, if any."""

    runs: tuple[PastRun, ...]
    matching: int
    more: str | None = None


def parse_since(text: str, now: float) -> float:
    """Unix seconds of ``2h``, ``3d``, a date or a date and time (local unless it says otherwise). Raises UsageError."""
    if duration := _DURATION.fullmatch(text.strip()):
        return max(now - float(duration[1]) * _SECONDS[duration[2].lower()], 0.0)
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"since {text!r}: write a date (2026-01-31), a date and time (2026-01-31T14:00) "
            "or how long ago (90m, 2h, 3d)"
        ) from None


def parse_filter(text: str, now: float) -> PastFilter:
    """``deployment:story since:2d fox``: named parts narrow, every other word is looked for. Raises UsageError."""
    named: dict[str, str] = {}
    words: list[str] = []
    for word in text.split():
        name, colon, value = word.partition(":")
        if not colon:
            words.append(word)
        elif name not in ("deployment", "kind", "since"):
            raise UsageError(f"filter {word!r}: write deployment:NAME, kind:run, kind:load, since:2h, or plain words")
        elif value:
            named[name] = value
    kind = named.get("kind")
    if kind is not None and kind not in KINDS:
        raise UsageError(f"kind {kind!r}: must be run or load")
    return PastFilter(
        deployment=named.get("deployment"),
        kind=kind,
        since=parse_since(named["since"], now) if "since" in named else None,
        words=tuple(words),
    )
