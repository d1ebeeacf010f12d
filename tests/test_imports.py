"""What a process may import: a monitoring host pays for no GPU stack, an exporter for no screen."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "diffusers", "transformers"}


def imported_by(*modules: str) -> set[str]:
    """Top-level packages that importing ``modules`` brings in, as ``python -X importtime`` lists them."""
    statement = "; ".join(f"import {module}" for module in modules)
    run = subprocess.run([sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    names = (line.rsplit("|", 1)[1].strip() for line in run.stderr.splitlines() if line.startswith("import time:"))
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    ("modules", "banned"),
    [
        (("wan_tui.ui.app",), HEAVY | {"prometheus_client", "aiohttp", "pydantic", "pynvml"}),
        (("wan_tui.cli.main", "wan_tui.cli.commands", "wan_tui.cli.selftest", "wan_tui.cli.generate"), HEAVY),
        (("wan_exporter.__main__", "wan_exporter.web"), HEAVY | {"textual", "rich", "typer"}),
        (("wan_tui.core.engine", "wan_tui.core.snapshot"), HEAVY | {"textual", "rich", "prometheus_client", "aiohttp"}),
        (("wan_tui.agent.server", "wan_tui.agent.embedded"), HEAVY | {"av", "numpy", "PIL", "textual"}),
        (("wan_tui.core.snapshot",), {"pydantic", "psutil", "pynvml"}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_importing_brings_no_more_than_it_should(modules: tuple[str, ...], banned: set[str]) -> None:
    packages = imported_by(*modules)
    assert modules[0].split(".")[0] in packages, "the listing works"
    assert not packages & banned


def test_every_core_module_stays_light() -> None:
    core = Path(__file__).parents[1] / "wan_tui" / "core"
    modules = [
        ".".join(("wan_tui.core", *file.relative_to(core).with_suffix("").parts)) for file in sorted(core.rglob("*.py"))
    ]
    modules = [module.removesuffix(".__init__") for module in modules if not module.endswith(".video")]
    assert len(modules) > 20
    assert not imported_by(*modules) & (HEAVY | {"textual", "rich", "typer", "prometheus_client", "aiohttp"})


def test_a_running_engine_has_imported_no_torch(home: Path) -> None:
    script = """
import asyncio, json, sys
from wan_tui.core.config import default_settings
from wan_tui.core.engine import Engine
async def main():
    async with Engine(default_settings()) as engine:
        async for snapshot in engine.snapshots():
            print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
            return
asyncio.run(main())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert not set(json.loads(run.stdout)) & (HEAVY | {"textual", "prometheus_client"})
