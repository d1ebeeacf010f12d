"""What can be asked of the planner, and what it answers. Data alone: screens import this."""

from dataclasses import dataclass

from wan_tui.core.planning.plan import Clip, Compatibility, TimeEstimate

# In one go; every model under every profile on a dozen cards is about two hundred.
MAX_QUESTIONS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Will it fit, how long will it take: a ``deployment``, or a ``model`` that need not be one.

    ``profile`` and ``device`` (``auto``, ``cpu``, ``gpu:N``) replace what the deployment is configured to. ``gpu`` is
    an empty card of the table instead (``rtx 4090``), in a host with ``host_memory_bytes``, or with enough.
    What is None is as configured, or the model's default. ``remedies`` False leaves them out, which is quicker.
    """

    deployment: str | None = None
    model: str | None = None
    profile: str | None = None
    device: str | None = None
    gpu: str | None = None
    host_memory_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    image: bool = False
    batch: int = 1
    remedies: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The answer. ``clip`` is what was asked for after rounding; ``notices`` name what was rounded.

    ``refusal`` is why a request of this shape would be refused at any rate (too many pixels, frames or steps).
    ``time`` and ``load`` are calibrated by the history of this host where there is one, and modelled elsewhere; None
    where nothing is known about the device. ``as_loaded``: judged under the plan that the worker has now.
    """

    compatibility: Compatibility
    model: str
    profile: str
    where: str
    clip: Clip
    batch: int = 1
    time: TimeEstimate | None = None
    load: TimeEstimate | None = None
    notices: tuple[str, ...] = ()
    refusal: str | None = None
    as_loaded: bool = False

    @property
    def free_bytes(self) -> int | None:
        """Device memory that the plan could have: what the bars of its phases are measured against."""
        found = self.compatibility
        if found.memory is None or found.headroom_bytes is None:
            return None
        return found.memory.peak_bytes + found.headroom_bytes
