"""``wan-exporter``: the engine without a screen, with its metrics over HTTP."""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from wan_exporter.web import DEFAULT_TELEMETRY_PATH, create_app, serve
from wan_tui import __version__
from wan_tui.core.config import load_settings
from wan_tui.core.config.settings import Settings
from wan_tui.core.engine import Engine
from wan_tui.core.errors import WanTuiError

log = logging.getLogger("wan_exporter")


class Address(NamedTuple):
    """Where to listen; an empty host is every address."""

    host: str
    port: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = load_settings(options.config)
        listen = options.listen or [Address(settings.exporter.listen_address, settings.exporter.port)]
        asyncio.run(_run(settings, listen, options.telemetry_path))
    except WanTuiError as error:
        sys.stderr.write(f"wan-exporter: {error}\n")
        return error.exit_status
    return 0


async def _run(settings: Settings, listen: Sequence[Address], telemetry_path: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = Engine(settings)
    async with contextlib.AsyncExitStack() as stack:
        for address in listen:  # before the engine starts: a taken port then fails at once
            app = create_app(lambda: engine.latest, telemetry_path=telemetry_path)
            server = await serve(app, address.host, address.port)
            stack.push_async_callback(server.close)
            log.info("wan-exporter %s serves %s", __version__, server.url + telemetry_path.removeprefix("/"))
        async with engine:
            await stop.wait()
            log.info("stopping")


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
    parser.add_argument("--version", action="version", version=f"wan-exporter {__version__}")
    return parser


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT (IPv6 as [::1]:12022, every address as :12022)")
    return Address(host[1:-1] if bracketed else host, int(port))


def _telemetry_path(text: str) -> str:
    if not text.startswith("/") or text == "/" or text.startswith("/-/") or set(text) & set("{}?# "):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path like /metrics")
    return text


if __name__ == "__main__":
    sys.exit(main())
