"""``wan-tui serve``: the same screens in a browser, through textual-serve."""

from __future__ import annotations

import ipaddress
import shlex
import socket
import sys
from collections.abc import Sequence

from wan_tui.core.errors import UsageError, WanTuiError


def is_loopback(address: str) -> bool:
    """Whether nobody but this host can reach ``address``. Raises UsageError for what is no address."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(address, None)}
    except OSError as error:
        raise UsageError(f"--address {address}: {error.strerror}") from None
    return all(ipaddress.ip_address(str(one).split("%")[0]).is_loopback for one in found)


def serve(address: str, port: int, *, allow_remote: bool, arguments: Sequence[str]) -> int:
    """Serve until Ctrl+C. Raises UsageError for an address that others can reach, unless ``allow_remote``."""
    if not allow_remote and not is_loopback(address):
        raise UsageError(
            f"--address {address}: others could reach it, and whoever does can do everything that you can: "
            "leave it at 127.0.0.1 and use ssh -L, or add --allow-remote"
        )
    try:
        from textual_serve.server import Server
    except ImportError:
        raise WanTuiError("wan-tui serve needs textual-serve: pip install 'wan-tui[web]'") from None
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise WanTuiError(f"cannot listen on {address}:{port}: {error.strerror}") from None
    command = shlex.join([sys.executable, "-m", "wan_tui", *arguments])
    Server(command, host=address, port=port, title="wan-tui").serve()
    return 0
