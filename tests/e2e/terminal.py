"""A real terminal: tmux, driven by keys and read from its screen."""

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping

PATIENCE_SECONDS = 60.0


class Terminal:
    """One tmux server of our own with one window, 80 x 24 unless told."""

    def __init__(self, command: str, environment: Mapping[str, str], *, width: int = 80, height: int = 24) -> None:
        self._socket = f"wan-tui-test-{uuid.uuid4().hex[:8]}"
        size = ("-x", str(width), "-y", str(height))
        # The shell stays after the program, so that its exit status can be read.
        shell = f"{command}; echo exit-status=$?; sleep 600"
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, shell, environment=environment)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def capture_with_styles(self) -> str:
        """The screen with the escape sequences of its colours and styles."""
        return self._tmux("capture-pane", "-p", "-e")

    def ask(self, variable: str) -> str:
        """A variable of tmux."""
        return self._tmux("display-message", "-p", variable).strip()

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Keys by tmux's names, one after the other: Enter, Escape, C-s, …"""
        for key in keys:
            self._tmux("send-keys", key)
            time.sleep(0.2)  # Escape and a key in one breath would be Alt and that key

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def wait_for(self, wanted: str | Callable[[str], object], patience: float = PATIENCE_SECONDS) -> str:
        """The first screen that has the text (or satisfies the function)."""
        condition = (lambda screen: wanted in screen) if isinstance(wanted, str) else wanted
        deadline = time.monotonic() + patience
        while True:
            screen = self.screen()
            if condition(screen):
                return screen
            if time.monotonic() > deadline:
                raise AssertionError(f"{wanted!r} not seen in {patience:g} s; the screen:\n{screen}")
            time.sleep(0.1)

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], capture_output=True)

    def _tmux(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        run = subprocess.run(
            ["tmux", "-L", self._socket, *arguments],
            capture_output=True,
            text=True,
            env=None if environment is None else {**os.environ, **environment},
        )
        assert run.returncode == 0, run.stderr
        return run.stdout
