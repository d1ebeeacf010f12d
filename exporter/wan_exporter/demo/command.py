"""``wan-exporter --demo``: the service on a simulated host, or the history of one."""

import argparse
import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from wan_exporter.demo.history import write_history
from wan_exporter.demo.scenarios import Scenario, play, scenario
from wan_exporter.demo.setting import Setting, simulated_host
from wan_exporter.service import Options, Service
from wan_tui.core.config.settings import Settings
from wan_tui.core.engine import Engine

log = logging.getLogger("wan_exporter")

INTERVAL_SECONDS = 1.0
INCIDENT_SECONDS = 1800.0


def run_demo(given: argparse.Namespace, options: Callable[[argparse.Namespace, Settings, Path], Options]) -> int:
    """Returns the exit status. Raises WanTuiError: UsageError for an unknown scenario."""
    chosen = scenario(given.demo)
    if given.history is not None:
        logging.getLogger("wan_exporter").setLevel(logging.WARNING)
        days = given.days or chosen.history_days
        write_history(chosen, given.history, days=days, step_seconds=given.step, end=given.until or time.time())
        return 0
    with simulated_host(INTERVAL_SECONDS) as setting:
        if given.socket is None:
            given.socket = setting.folder / "agent.sock"
        log.info("demo %s: %s", chosen.name, chosen.title)
        log.info("its configuration is %s; look at it with: wan-tui --socket %s", setting.config, given.socket)
        asyncio.run(_serve(chosen, setting, options(given, setting.settings, setting.config), given.incident_after))
    return 0


async def _serve(chosen: Scenario, setting: Setting, options: Options, begin_seconds: float) -> None:
    async def alongside(engine: Engine) -> None:
        async for _ in engine.snapshots():
            break
        await play(
            chosen, setting.stage(engine, begin_seconds=begin_seconds, end_seconds=begin_seconds + INCIDENT_SECONDS)
        )

    await Service(setting.settings, options, make_engine=setting.engine, alongside=alongside).run()
