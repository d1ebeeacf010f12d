"""Where a player is in a video, and what a key does to it. Pure: it knows no clock and no screen."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Playback:
    """Frame ``at`` of ``number``; at the end it pauses there."""

    number: int
    at: int = 0
    playing: bool = True

    def tick(self, by: int = 1) -> Playback:
        """``by`` frames on, when it plays; the last one is never passed over."""
        if not self.playing:
            return self
        if self.at + 1 >= self.number:
            return replace(self, playing=False)
        return replace(self, at=min(self.at + by, self.number - 1))

    def toggled(self) -> Playback:
        """Pause, or go on; from the last frame it begins again."""
        if self.playing:
            return replace(self, playing=False)
        if self.number < 2:
            return self
        return replace(self, at=0 if self.at + 1 >= self.number else self.at, playing=True)

    def stepped(self, by: int) -> Playback:
        """``by`` frames on (negative: back), and pause there."""
        return replace(self, at=min(max(self.at + by, 0), max(self.number - 1, 0)), playing=False)
