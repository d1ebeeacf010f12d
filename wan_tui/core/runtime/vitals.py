"""Signs of life of a deployment."""

import time
from dataclasses import dataclass, field

from wan_tui.core.words import RestartReason


@dataclass(slots=True)
class Vitals:
    """Signs of life of a deployment, in seconds of the monotonic clock."""

    heard_at: float = field(default_factory=time.monotonic)
    progress_at: float = field(default_factory=time.monotonic)
    idle_since: float = field(default_factory=time.monotonic)
    failed_at: float | None = None
    failure: RestartReason = RestartReason.CRASHED
    restarts: list[float] = field(default_factory=list)

    def began(self) -> None:
        """A worker starts."""
        self.heard_at = self.progress_at = self.idle_since = time.monotonic()
        self.failed_at = None

    def failed(self, reason: RestartReason) -> None:
        self.failed_at, self.failure = time.monotonic(), reason
