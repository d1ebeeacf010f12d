"""A running app on a fake client, at a fixed time, in a terminal with true colour."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual._compositor import CompositorUpdate
from textual.pilot import Pilot
from textual.screen import Screen

from tests.snapshot_parts import AT
from tests.ui.fake_client import FakeClient
from wan_tui import ui
from wan_tui.core.snapshot import Snapshot
from wan_tui.ui.app import WanTuiApp
from wan_tui.ui.options import UiOptions
from wan_tui.ui.widgets.rows import LiveRows


class FakeClock:
    def __init__(self) -> None:
        self.now = AT + 0.4

    def __call__(self) -> float:
        return self.now


class RecordingApp(WanTuiApp):
    """Keeps what would have been sent to a real terminal."""

    CSS_PATH = str(Path(ui.__file__).with_name("app.tcss"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sent: list[str] = []
        super().__init__(*args, **kwargs)

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if isinstance(renderable, CompositorUpdate):
            self.sent.append(renderable.render_segments(self.console))
        super()._display(screen, renderable)


@dataclass
class Driver:
    """The app, its client and its clock in one hand."""

    app: RecordingApp
    client: FakeClient
    clock: FakeClock
    pilot: Pilot[None]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        await self.pilot.pause()

    async def publish(self, snapshot: Snapshot) -> None:
        self.client.publish(snapshot)
        await self.settle()

    def rows(self, selector: str) -> list[str]:
        """What a live widget of the visible screen shows, line by line."""
        widget = self.app.screen.query_one(selector, LiveRows)
        return ["".join(span.text for span in line).rstrip() for line in widget.lines]

    def text(self, selector: str) -> str:
        return "\n".join(self.rows(selector))

    def take_sent(self) -> str:
        """What was sent since the last call."""
        sent, self.app.sent = "".join(self.app.sent), []
        return sent

    def screen_text(self) -> str:
        """The cells of the whole terminal."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)


Drive = Callable[..., AbstractAsyncContextManager[Driver]]


@pytest.fixture
def drive() -> Drive:
    """``async with drive(snapshot, size=(80, 24)) as it``: a started app that has drawn ``snapshot``."""

    @asynccontextmanager
    async def driver(
        snapshot: Snapshot | None,
        *,
        size: tuple[int, int] = (80, 24),
        embedded: bool = False,
        ascii_only: bool = False,
        retry_seconds: float = 60.0,
        client: FakeClient | None = None,
        options: UiOptions | None = None,
    ) -> AsyncIterator[Driver]:
        client, clock = client or FakeClient(snapshot), FakeClock()
        app = RecordingApp(
            lambda: client,
            embedded=embedded,
            clock=clock,
            ascii_only=ascii_only,
            retry_seconds=retry_seconds,
            options=options or UiOptions(refresh_seconds=0),
        )
        async with app.run_test(size=size) as pilot:
            it = Driver(app, client, clock, pilot)
            await it.settle()
            yield it

    return driver


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same terminal for every test, whatever the developer's is."""
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TZ", "UTC")
