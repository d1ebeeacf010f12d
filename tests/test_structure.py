"""The house rules that a tool can check."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("wan_tui", "exporter", "grafana", "tests") for path in (ROOT / folder).rglob("*.py")
)


def test_imports_run_one_way() -> None:
    run = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= (300 if path.name == "app.py" else 450)


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    declared = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    lines = text.splitlines()
    for requirement in declared:
        (line,) = [line for line in lines if line.strip().startswith(f'"{requirement}"')]
        assert "# " in line, f"{requirement} has no reason beside it"


def test_only_the_known_folders_are_at_the_top() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    known = {"pyproject.toml", "README.md", "wan_tui", "exporter", "grafana", "tests", "Makefile", "constraints.txt"}
    assert {name for name in top if not name.startswith(".")} <= known
