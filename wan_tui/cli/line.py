"""Progress on standard error: a line that rewrites itself on a terminal, a line for each stage elsewhere."""

from typing import TextIO

_ERASE = "\r\033[K"


class Line:
    """Tells how far something is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._last = self._stage = ""

    def tell(self, text: str, *, stage: str) -> None:
        """Show ``text``; where nothing can be rewritten only ``stage``, once."""
        if self._live and text != self._last:
            self._stream.write(f"{_ERASE}{text}")
        elif not self._live and stage != self._stage:
            self._stream.write(f"{stage}\n")
        self._last, self._stage = text, stage
        self._stream.flush()

    def close(self) -> None:
        if self._live and self._last:
            self._stream.write(_ERASE)
            self._stream.flush()
