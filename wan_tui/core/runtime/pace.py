"""The step times of a deployment beside what was estimated for them."""

from collections import deque

from wan_tui.core.catalog import Model
from wan_tui.core.planning.duration import steps_by_expert
from wan_tui.core.runtime.protocol import StepDone
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import Expert, Phase

STEPS_KEPT = 5
STEPS_NEEDED = 3
_PHASES = {Expert.HIGH_NOISE: Phase.DENOISE_HIGH_NOISE, Expert.LOW_NOISE: Phase.DENOISE_LOW_NOISE}


class Pace:
    """``ratio``: observed to expected step time over the last few steps; 1 as long as it is within the interval.

    Only estimates that runs of this host calibrated have an interval: a device is not slow because a model of it is
    too fast.
    """

    def __init__(self) -> None:
        self.ratio = 1.0
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=STEPS_KEPT)

    def saw(self, model: Model, job: Job, step: StepDone) -> None:
        """A step ended. The first of a job counts for nothing: it warms up."""
        phase = _PHASES[step.expert]
        stage = next((one for one in job.estimate.stages if one.stage is phase), None) if job.estimate else None
        count = dict(steps_by_expert(model, job.request.steps)).get(phase, 0)
        if step.step <= 1 or stage is None or stage.low is None or stage.high is None or not count * stage.seconds:
            return
        expected = stage.seconds
        self._seen.append((step.seconds * count / expected, stage.low / expected, stage.high / expected))
        if len(self._seen) < STEPS_NEEDED:
            return
        mean, least, most = (sum(column) / len(self._seen) for column in zip(*self._seen, strict=True))
        self.ratio = 1.0 if least <= mean <= most else mean
