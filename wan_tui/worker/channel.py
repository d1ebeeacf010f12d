"""The worker's end of the socket to the engine."""

import os
import queue
import socket
import sys
import threading

from wan_tui.core.runtime.protocol import Cancel, Command, Event, decode_command, encode


class Channel:
    """Sends events from any thread; reads commands in a thread of its own.

    A closed socket means that the engine is gone: the process ends at once, whatever torch is doing. It also ends when
    it can no longer listen (a command that is none, no memory for one): nobody could stop it any more.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        threading.Thread(target=self._read, name="commands", daemon=True).start()

    def send(self, event: Event) -> None:
        line = encode(event)
        try:
            with self._sending:
                self._connection.sendall(line)
        except OSError:
            os._exit(0)

    def next_command(self) -> Command:
        """Block until the engine wants something (cancellations never come this way)."""
        return self._commands.get()

    def is_cancelled(self, job: str) -> bool:
        return job in self._cancelled

    def _read(self) -> None:
        status = 1
        try:
            with self._connection.makefile("rb") as lines:
                for line in lines:
                    command = decode_command(line)
                    if isinstance(command, Cancel):
                        self._cancelled.add(command.job)
                    else:
                        self._commands.put(command)
            status = 0
        except Exception as error:
            os.write(sys.stderr.fileno(), f"commands: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
