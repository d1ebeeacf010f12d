"""The newest frame of the running job, two pixels a cell: no terminal queries, no image library."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

if TYPE_CHECKING:
    from wan_tui.core.runtime.state import Preview

_RAMP = " .:-=+*#%@"
Pixel = tuple[int, int, int]


def decode(preview: Preview) -> list[list[Pixel]]:
    """Rows of pixels, or nothing when the bytes do not make the picture they claim to be."""
    try:
        data = base64.b64decode(preview.rgb, validate=True)
    except (binascii.Error, ValueError):
        return []
    width, height = preview.width, preview.height
    if width <= 0 or height <= 0 or len(data) != width * height * 3:
        return []
    pixels = list(zip(data[0::3], data[1::3], data[2::3], strict=True))
    return [pixels[y * width : (y + 1) * width] for y in range(height)]


def fit(pixels: list[list[Pixel]], width: int, height: int) -> list[list[Pixel]]:
    """The picture in at most ``width`` x ``height`` pixels, nearest neighbour, in its own proportions."""
    if not pixels or width < 1 or height < 1:
        return []
    rows, columns = len(pixels), len(pixels[0])
    scale = min(width / columns, height / rows)
    across, down = max(int(columns * scale), 1), max(int(rows * scale), 1)
    return [[pixels[y * rows // down][x * columns // across] for x in range(across)] for y in range(down)]


def brightness(pixel: Pixel) -> float:
    return (0.2126 * pixel[0] + 0.7152 * pixel[1] + 0.0722 * pixel[2]) / 255


class PreviewView(Widget):
    """Half blocks in the picture's own colours; where colour is not wanted, brightness as characters."""

    def __init__(self, *, id: str, colour: bool = True, ascii_only: bool = False) -> None:
        super().__init__(id=id)
        self._colour = colour
        self._ascii_only = ascii_only
        self._preview: Preview | None = None
        self._pixels: list[list[Pixel]] = []
        self._fitted: tuple[int, int, list[list[Pixel]]] | None = None

    def show(self, preview: Preview | None) -> None:
        """Repaint only for another picture."""
        if preview == self._preview:
            return
        self._preview = preview
        self._pixels = decode(preview) if preview is not None else []
        self._fitted = None
        self.refresh()

    @property
    def has_picture(self) -> bool:
        return bool(self._pixels)

    def _fit(self) -> list[list[Pixel]]:
        width, height = self.size.width, self.size.height * 2
        if self._fitted is None or self._fitted[:2] != (width, height):
            self._fitted = (width, height, fit(self._pixels, width, height))
        return self._fitted[2]

    def render_line(self, y: int) -> Strip:
        base, width = self.rich_style, self.size.width
        picture = self._fit()
        upper = picture[2 * y] if 2 * y < len(picture) else None
        if upper is None:
            return Strip.blank(width, base)
        lower = picture[2 * y + 1] if 2 * y + 1 < len(picture) else None
        left = (width - len(upper)) // 2
        cells = [Segment(" " * left, base), *self._cells(upper, lower, base)]
        return Strip(cells).adjust_cell_length(width, base)

    def _cells(self, upper: list[Pixel], lower: list[Pixel] | None, base: Style) -> list[Segment]:
        if not self._colour:
            last = len(_RAMP) - 1
            return [Segment("".join(_RAMP[round(brightness(pixel) * last)] for pixel in upper), base)]
        if self._ascii_only:
            return [Segment(" ", base + Style(bgcolor=Color.from_rgb(*pixel))) for pixel in upper]
        if lower is None:
            return [Segment("▀", base + Style(color=Color.from_rgb(*pixel))) for pixel in upper]
        return [
            Segment("▀", base + Style(color=Color.from_rgb(*over), bgcolor=Color.from_rgb(*under)))
            for over, under in zip(upper, lower, strict=True)
        ]
