"""``wan-exporter``: the engine without a screen, its metrics over HTTP, its control over a Unix socket."""

import argparse
import asyncio
import logging
import logging.handlers
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from wan_exporter.service import Address, Options, Service
from wan_exporter.web import DEFAULT_TELEMETRY_PATH
from wan_tui import __version__
from wan_tui.agent.places import places
from wan_tui.core.config import load_settings
from wan_tui.core.config.settings import Settings
from wan_tui.core.errors import WanTuiError

LOG_FILE_BYTES = 1 << 20
LOG_FILES_KEPT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(
        handlers=[_handler(given.log_file)], level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        settings = load_settings(given.config)
        asyncio.run(_run(settings, given))
    except WanTuiError as error:
        sys.stderr.write(f"wan-exporter: {error}\n")
        return error.exit_status
    return 0


async def _run(settings: Settings, given: argparse.Namespace) -> None:
    options = Options(
        config=given.config,
        listen=given.listen or [Address(settings.exporter.listen_address, settings.exporter.port)],
        telemetry_path=given.telemetry_path,
        places=places(given.socket),
        drain_seconds=given.drain_timeout,
        background=given.agent,
        auto_started=given.auto_started,
    )
    await Service(settings, options).run()


class _AgentLog(logging.handlers.RotatingFileHandler):
    """Bounded; what is written to standard error past it (a crash) goes to the same file."""

    def doRollover(self) -> None:
        super().doRollover()
        if self.stream is not None:
            os.dup2(self.stream.fileno(), sys.stderr.fileno())


def _handler(file: Path | None) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(sys.stderr)
    return _AgentLog(file, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES_KEPT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wan-exporter", description="Runs the wan-tui engine and serves Prometheus metrics.", allow_abbrev=False
    )
    parser.add_argument(
        "--web.listen-address",
        dest="listen",
        action="append",
        type=_address,
        metavar="HOST:PORT",
        help="where to listen; repeatable; ':12022' is every address, IPv6 goes in brackets (default: from the "
        "configuration, 127.0.0.1:12022 without one)",
    )
    parser.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        type=_telemetry_path,
        default=DEFAULT_TELEMETRY_PATH,
        metavar="PATH",
        help="where the metrics are (default: %(default)s)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (default: wan-tui.toml)")
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="control socket (default: $WANTUI_AGENT_SOCKET, or the usual place)"
    )
    parser.add_argument(
        "--drain-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="how long a running job may take to finish after SIGTERM; a second one ends at once (default: from the "
        "configuration, 30 without one)",
    )
    parser.add_argument("--agent", action="store_true", help="run for wan-tui: a taken metrics port is no failure")
    parser.add_argument("--auto-started", action="store_true", help="end when idle, as agent.idle_exit_seconds says")
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="log there, bounded, instead of to stderr")
    parser.add_argument("--version", action="version", version=f"wan-exporter {__version__}")
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
