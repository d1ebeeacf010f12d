"""The first line of every screen; a click on a tab opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from wan_tui.ui.widgets.rows import LiveRows

if TYPE_CHECKING:
    from textual import events


class TabLine(LiveRows):
    async def on_click(self, event: events.Click) -> None:
        """A tab is a span that begins with its key."""
        end = 0
        for span in self.lines[0] if self.lines else ():
            end += cell_len(span.text)
            if event.x < end:
                key = span.text.strip()[:1]
                if key.isdigit():
                    await self.run_action(f"app.key_of_tab({key!r})")
                return
