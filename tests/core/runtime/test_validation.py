"""The engine evaluates the rules itself: at the start, when a checkpoint comes or goes, and again and again."""

import shutil
from pathlib import Path

import pytest

from tests.core.runtime.harness import deployment, request, settings, until
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.config.settings import LimitSettings, RequestDefaults
from wan_tui.core.engine import Engine
from wan_tui.core.errors import UsageError
from wan_tui.core.validation.rulebook.rules import rules
from wan_tui.worker.pocket import ensure_pocket


async def test_every_rule_is_passed_failed_or_skipped_with_a_reason(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        snapshot = await until(engine, lambda s: deployment(s).validation.last_run_at)
    found = deployment(snapshot).validation
    codes = [*found.passed, *found.failed, *(rule.code for rule in found.skipped)]
    assert len(codes) == len(set(codes))
    assert set(codes) == {code for code in rules() if not code.startswith("WAN1")}  # of the file: wan-tui validate
    assert all(rule.reason for rule in found.skipped)
    assert (found.failed, found.runs, found.failed_runs) == ((), 1, 0)
    assert found.last_duration_seconds is not None


async def test_a_checkpoint_that_appears_is_judged_at_once(home: Path, pocket_cache: Path) -> None:
    good = ensure_pocket(load_catalogue().find("t2v-pocket"), pocket_cache)
    folder = home / "checkpoint"
    wanted = DeploymentSettings(model="t2v-pocket", profile="cpu", checkpoint=folder)
    async with Engine(settings(home, pocket=wanted)) as engine:
        before = deployment(await until(engine, lambda s: deployment(s).validation.runs))
        assert "WAN412" not in before.validation.passed
        broken = home / "copy"
        shutil.copytree(good, broken)
        weights = broken / "vae" / "diffusion_pytorch_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        broken.rename(folder)
        after = deployment(await until(engine, lambda s: "WAN412" in deployment(s).validation.failed))
    assert after.validation.runs == before.validation.runs + 1
    assert "WAN412" in {finding.code for finding in after.findings}


async def test_a_rule_that_breaks_is_counted_and_the_engine_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object, **__: object) -> None:
        raise RuntimeError("a defect in a rule")

    monkeypatch.setattr("wan_tui.core.runtime.validator.judge_model", defect)
    async with Engine(settings(home)) as engine:
        snapshot = await until(engine, lambda s: deployment(s).validation.failed_runs)
        later = await until(engine, lambda s: s.number > snapshot.number)
    assert deployment(later).validation.last_run_at is None
    assert "a defect in a rule" in snapshot.log.events[-1].message


async def test_defaults_and_limits_of_the_configuration_apply(home: Path) -> None:
    wanted = DeploymentSettings(model="t2v-pocket", profile="cpu", defaults=RequestDefaults(frames=6, steps=2))
    limited = settings(home, pocket=wanted).model_copy(update={"limits": LimitSettings(max_steps=3)})
    async with Engine(limited) as engine:
        found = deployment(await until(engine, lambda s: True))
        assert (found.defaults.frames, found.defaults.steps, found.defaults.width) == (5, 2, 64)
        with pytest.raises(UsageError, match=r"limits\.max_steps"):
            await engine.generate(request(steps=4))
