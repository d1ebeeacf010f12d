"""``wan-exporter``: the engine without a screen, its metrics over HTTP, its control over a Unix socket."""

import argparse
import asyncio
import logging
import logging.handlers
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from wan_exporter.arguments import Address, parser
from wan_exporter.service import Options, Service
from wan_tui.agent.places import places
from wan_tui.core.config import load_settings
from wan_tui.core.config.settings import Settings
from wan_tui.core.errors import WanTuiError

LOG_FILE_BYTES = 1 << 20
LOG_FILES_KEPT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    given = parser().parse_args(arguments)
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


if __name__ == "__main__":
    sys.exit(main())
