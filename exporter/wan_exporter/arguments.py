"""What ``wan-exporter`` can be told on its command line. Nothing is read and nothing is started here."""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

from wan_tui import __version__

DEFAULT_TELEMETRY_PATH = "/metrics"
DEFAULT_MAX_REQUESTS = 40
_TAKEN_PATHS = ("/", "/docs", "/sd")


class Address(NamedTuple):
    """Where to listen; an empty host is every address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
    found.add_argument(
        "--web.config.file",
        dest="web_config",
        type=Path,
        metavar="FILE",
        help="TLS, client certificates, users and headers, in the form of Prometheus' exporter-toolkit (YAML); changes "
        "of it and of its certificates are taken up within a second or two",
    )
    found.add_argument(
        "--web.systemd-socket",
        dest="systemd_socket",
        action="store_true",
        help="serve the sockets that systemd passes (LISTEN_FDS) instead of listening",
    )
    found.add_argument(
        "--web.max-requests",
        dest="max_requests",
        type=_requests,
        default=DEFAULT_MAX_REQUESTS,
        metavar="N",
        help="scrapes that are answered at once; more wait for as long as their scraper does, then get 503; 0 is any "
        "number (default: %(default)s)",
    )
    found.add_argument(
        "--web.disable-exporter-metrics",
        dest="exporter_metrics",
        action="store_false",
        help="leave out process_* and python_*, the figures about the exporter itself",
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
    demo = found.add_argument_group("a simulated host instead of this one")
    demo.add_argument(
        "--demo",
        metavar="SCENARIO",
        help="run on a simulated host with four GPUs on which this happens: healthy, gpu-lost, xid, driver-hang, "
        "oom-loop, incompatible, drift or neglected; no GPU and no torch is needed",
    )
    demo.add_argument(
        "--incident-after",
        type=_seconds,
        default=120.0,
        metavar="SECONDS",
        help="when what the scenario is about begins; it lasts half an hour (default: %(default)g)",
    )
    demo.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help="instead of serving, write the scenario's whole history there as OpenMetrics with timestamps, for "
        "promtool tsdb create-blocks-from openmetrics",
    )
    demo.add_argument("--days", type=_days, metavar="DAYS", help="how long the history is (default: by scenario)")
    demo.add_argument(
        "--until",
        type=_moment,
        metavar="SECONDS",
        help="Unix time at which the history ends (default: now); the same time gives the same history",
    )
    demo.add_argument(
        "--step",
        type=_step,
        default=60.0,
        metavar="SECONDS",
        help="time between two scrapes of the history (default: %(default)g)",
    )
    printing = found.add_argument_group("instead of running").add_mutually_exclusive_group()
    for what, text in (
        ("systemd-unit", "a hardened unit for systemd"),
        ("scrape-config", "a configuration for Prometheus that scrapes this exporter, with the same --web options"),
        ("metrics", "the reference of all metrics (Markdown)"),
    ):
        printing.add_argument(
            f"--print-{what}", dest="print", action="store_const", const=what, help=f"print {text}, and end"
        )
    found.add_argument("--version", action="version", version=f"wan-exporter {__version__}")
    return found


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT (IPv6 as [::1]:12022, every address as :12022)")
    return Address(host[1:-1] if bracketed else host, int(port))


def _seconds(text: str) -> float:
    return _number(text, 0, 86_400, "seconds from 0 to 86400")


def _days(text: str) -> float:
    return _number(text, 0.02, 366, "days from 0.02 to 366")


def _step(text: str) -> float:
    return _number(text, 5, 600, "seconds from 5 to 600")


def _moment(text: str) -> float:
    return _number(text, 1e9, 1e10, "seconds since 1970, from 1e9 to 1e10")


def _number(text: str, least: float, most: float, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {what}")
    return number


def _requests(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of requests (0 for any number)")
    return int(text)


def _telemetry_path(text: str) -> str:
    if not text.startswith("/") or text in _TAKEN_PATHS or text.startswith("/-/") or set(text) & set("{}?# "):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path like /metrics")
    return text
