"""The cells of a terminal that understands what the screens send: moves, colours and text."""

import re

from rich.cells import cell_len

_TOKEN = re.compile(r"\x1b\[(?P<row>\d+);(?P<column>\d+)H|\x1b\[(?P<codes>[\d;]*)m|(?P<text>[^\x1b\n])|\n")
Cell = tuple[str, str, str, str]


class Grid:
    """``feed`` raises ValueError for a sequence that it does not know."""

    def __init__(self, width: int, height: int) -> None:
        self.rows: list[list[Cell]] = [[(" ", "", "", "")] * width for _ in range(height)]
        self._x = self._y = 0
        self._look = {"foreground": "", "background": "", "attributes": ""}

    def feed(self, sent: str) -> None:
        at = 0
        while at < len(sent):
            token = _TOKEN.match(sent, at)
            if token is None:
                raise ValueError(f"not understood: {sent[at : at + 20]!r}")
            at = token.end()
            if token["row"]:
                self._y, self._x = int(token["row"]) - 1, int(token["column"]) - 1
            elif token["codes"] is not None:
                self._turn(token["codes"])
            elif token["text"]:
                self._put(token["text"])

    def _turn(self, codes: str) -> None:
        parts = iter(codes.split(";") if codes else ["0"])
        for code in parts:
            if code == "0":
                self._look = dict.fromkeys(self._look, "")
            elif code in ("38", "48"):
                if next(parts) != "2":
                    raise ValueError(f"not true colour: {codes!r}")
                self._look["foreground" if code == "38" else "background"] = ",".join(next(parts) for _ in range(3))
            else:
                self._look["attributes"] += f" {code}"

    def _put(self, character: str) -> None:
        look = self._look
        # A blank shows its background alone.
        shown = ("", "") if character == " " else (look["foreground"], look["attributes"])
        for part in (character, "")[: cell_len(character)]:
            self.rows[self._y][self._x] = (part, *shown, look["background"])
            self._x += 1
