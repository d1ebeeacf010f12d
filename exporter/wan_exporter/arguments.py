"""What ``wan-exporter`` can be told on its command line. Nothing is read and nothing is started here."""

import argparse
from pathlib import Path
from typing import NamedTuple

from wan_tui import __version__

DEFAULT_TELEMETRY_PATH = "/metrics"


class Address(NamedTuple):
    """Where to listen; an empty host is every address."""

    host: str
    port: int


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="wan-exporter", description="Runs the wan-tui engine and serves Prometheus metrics.", allow_abbrev=False
    )
    found.add_argument(
        "--web.listen-address",
        dest="listen",
        action="append",
        type=_address,
        metavar="HOST:PORT",
        help="where to listen; repeatable; ':12022' is every address, IPv6 goes in brackets (default: from the "
        "configuration, 127.0.0.1:12022 without one)",
    )
    found.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        type=_telemetry_path,
        default=DEFAULT_TELEMETRY_PATH,
        metavar="PATH",
        help="where the metrics are (default: %(default)s)",
    )
    found.add_argument("--config", type=Path, metavar="FILE", help="configuration file (default: wan-tui.toml)")
    found.add_argument(
        "--socket", type=Path, metavar="PATH", help="control socket (default: $WANTUI_AGENT_SOCKET, or the usual place)"
    )
    found.add_argument(
        "--drain-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="how long a running job may take to finish after SIGTERM; a second one ends at once (default: from the "
        "configuration, 30 without one)",
    )
    found.add_argument("--agent", action="store_true", help="run for wan-tui: a taken metrics port is no failure")
    found.add_argument("--auto-started", action="store_true", help="end when idle, as agent.idle_exit_seconds says")
    found.add_argument("--log-file", type=Path, metavar="FILE", help="log there, bounded, instead of to stderr")
    found.add_argument("--version", action="version", version=f"wan-exporter {__version__}")
    return found


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT (IPv6 as [::1]:12022, every address as :12022)")
    return Address(host[1:-1] if bracketed else host, int(port))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return seconds


def _telemetry_path(text: str) -> str:
    if not text.startswith("/") or text == "/" or text.startswith("/-/") or set(text) & set("{}?# "):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path like /metrics")
    return text
