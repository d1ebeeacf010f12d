"""Evaluates the rules that read the disk or the installation: too slow for every poll, so every few minutes."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.hardware.samples import DriverStatus, HostSample
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.validation.environment import Libraries, judge_host
from wan_tui.core.validation.judgement import Judgement
from wan_tui.core.validation.subjects import judge_checkpoint, judge_model


async def validate(
    deployment: Deployment,
    checkpoint: Path | None,
    limits: LimitSettings,
    libraries: Libraries,
    driver: DriverStatus,
    host: HostSample,
    log: Callable[[str, str, str], None],
) -> None:
    """Evaluate again. A run that breaks is counted and told, and leaves what was known before."""
    validation, started = deployment.validation, time.monotonic()
    validation.runs += 1

    def judge() -> Judgement:
        defaults = deployment.settings.defaults
        of_model = judge_model(deployment.model, name=deployment.name, defaults=defaults, limits=limits)
        of_checkpoint = judge_checkpoint(deployment.model, checkpoint, deployment.settings)
        return of_model + of_checkpoint + judge_host(libraries(), driver, host)

    try:
        validation.judgement = await asyncio.to_thread(judge)
    except Exception as error:  # a fault of ours must not end the loop that everything else depends on
        validation.failed_runs += 1
        log("error", deployment.name, f"validation failed: {type(error).__name__}: {error}")
        return
    validation.last_run_at = time.time()
    validation.last_duration_seconds = time.monotonic() - started
