"""Where the agent of this user is: its socket, the lock that makes it the only one, and its log."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.paths import SOCKET_VARIABLE, default_paths

if TYPE_CHECKING:
    from types import TracebackType

# What the kernel takes, less the zero at the end (sys/un.h).
MAX_SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one agent. Lock and log are not beside the socket: a runtime directory goes with the last login,
    an agent stays. Their names carry the host, since a home may be shared by several."""

    socket: Path
    lock: Path
    log: Path


def places(chosen: Path | None = None) -> Places:
    """Of the agent at ``chosen``, else ``$WANTUI_AGENT_SOCKET``, else the usual one. Raises UsageError."""
    named = os.environ.get(SOCKET_VARIABLE)
    path = (chosen or (Path(named) if named else _usual_socket())).absolute()
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise UsageError(f"socket path {path}: longer than {MAX_SOCKET_PATH_BYTES} bytes; choose a shorter one")
    state = default_paths().state
    key = f"{socket.gethostname()}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    return Places(path, state / f"agent-{key}.lock", state / f"agent-{key}.log")


def _usual_socket() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if os.path.isabs(runtime) and _is_ours(Path(runtime)):
        return Path(runtime) / "wan-tui" / "agent.sock"
    return default_paths().cache / f"agent-{os.getuid()}" / "agent.sock"


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def make_private(folder: Path, *, parents: bool = True) -> None:
    """Make ``folder``, for this user alone. One that is there is left as it is. Raises WanTuiError."""
    try:
        if not folder.is_dir():
            if parents:
                folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise WanTuiError(f"cannot make the folder {folder}: {error.strerror}") from None


class AgentLock:
    """``with AgentLock(places)``: this process is the agent of that socket. Raises WanTuiError when another one is.

    The kernel frees it however the process ends. The file stays: removing it would race with the next one.
    """

    def __init__(self, where: Places) -> None:
        self._where = where

    def __enter__(self) -> None:
        make_private(self._where.lock.parent)
        try:
            self._handle = os.open(self._where.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WanTuiError(f"cannot open the lock file {self._where.lock}: {error.strerror}") from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            pid = holder(self._where)
            raise WanTuiError(
                f"another agent (pid {pid}) already serves {self._where.socket}: "
                "`wan-tui agent stop` ends it, --socket chooses another place"
            ) from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._handle)


def holder(where: Places) -> int | None:
    """Process id of the running agent, None when there is none."""
    try:
        handle = os.open(where.lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(handle, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(handle)
    return None


def answers(path: Path) -> bool:
    """Whether someone listens at ``path``. A socket whose process is gone refuses at once."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
