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
    if given.systemd_socket and given.listen:
        parser().error("--web.systemd-socket and --web.listen-address exclude each other")
    if given.demo is None and given.history is not None:
        parser().error("--history needs --demo SCENARIO")
    if given.demo is not None and given.config is not None:
        parser().error("--demo has a configuration of its own: leave --config out")
    if given.print is not None:
        return _print(given)
    logging.basicConfig(
        handlers=[_handler(given.log_file)], level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        if given.demo is not None:
            from wan_exporter.demo.command import run_demo

            return run_demo(given, _options)
        settings = load_settings(given.config)
        asyncio.run(Service(settings, _options(given, settings, given.config)).run())
    except WanTuiError as error:
        sys.stderr.write(f"wan-exporter: {error}\n")
        return error.exit_status
    return 0


def _print(given: argparse.Namespace) -> int:
    """One of the texts that are printed instead of running."""
    from wan_exporter.documentation import metrics_markdown
    from wan_exporter.scrape_config import scrape_config
    from wan_exporter.systemd_unit import systemd_unit

    try:
        if given.print == "metrics":
            text = metrics_markdown()
        elif given.print == "systemd-unit":
            text = systemd_unit(given, load_settings(given.config))
        else:
            text = scrape_config(given, load_settings(given.config))
    except WanTuiError as error:
        sys.stderr.write(f"wan-exporter: {error}\n")
        return error.exit_status
    sys.stdout.write(text)
    return 0


def _options(given: argparse.Namespace, settings: Settings, config: Path | None) -> Options:
    return Options(
        config=config,
        listen=given.listen or [Address(settings.exporter.listen_address, settings.exporter.port)],
        telemetry_path=given.telemetry_path,
        web_config=given.web_config,
        systemd_socket=given.systemd_socket,
        max_requests=given.max_requests,
        exporter_metrics=given.exporter_metrics,
        places=places(given.socket),
        drain_seconds=given.drain_timeout,
        background=given.agent,
        auto_started=given.auto_started,
    )


class _AgentLog(logging.handlers.RotatingFileHandler):
    """Bounded; what goes to standard output or error past it (a crash) and to the same file still does."""

    def doRollover(self) -> None:
        ours = [descriptor for descriptor in (1, 2) if self._leads_here(descriptor)]
        super().doRollover()
        if self.stream is not None:
            for descriptor in ours:
                os.dup2(self.stream.fileno(), descriptor)

    def _leads_here(self, descriptor: int) -> bool:
        try:
            return self.stream is not None and os.path.samestat(os.fstat(descriptor), os.fstat(self.stream.fileno()))
        except OSError:
            return False


def _handler(file: Path | None) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(sys.stderr)
    return _AgentLog(file, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES_KEPT)


if __name__ == "__main__":
    sys.exit(main())
