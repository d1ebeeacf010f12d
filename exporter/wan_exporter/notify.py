"""What systemd is told (sd_notify): ready, reloading, stopping, still alive. Without systemd nothing is told."""

import contextlib
import os
import socket
import time

# Told a third as often as systemd insists on: one late turn of the loop is no reason to be killed.
PINGS_PER_TIMEOUT = 3


class Notifier:
    """Datagrams to ``$NOTIFY_SOCKET``. The variables are taken out of the environment: workers have no say."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        timeout, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
        meant = not pid or pid == str(os.getpid())
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = (
            int(timeout) / 1e6 / PINGS_PER_TIMEOUT if address and meant and timeout.isdigit() else None
        )

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, seconds: float) -> None:
        """It may take ``seconds`` until the process is gone."""
        self._send("STOPPING=1", "STATUS=stopping", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), self._address)
