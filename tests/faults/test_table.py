"""The table of faults is true of the tests."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROW = re.compile(r"^\| (?P<fault>[^|]+) \| `(?P<test>[^`|]+)` \| (?P<after>[^|]+) \| (?P<told>[^|]+) \|$")
TABLE = [line for line in (HERE / "README.md").read_text().splitlines() if line.startswith("| ")]
ROWS = [line for line in TABLE if not line.startswith("| fault |")]


def names_in(file: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, functions)}


@pytest.mark.parametrize("line", ROWS, ids=lambda line: line.split("|")[1].strip())
def test_every_row_names_a_test_that_exists(line: str) -> None:
    row = ROW.match(line)
    assert row is not None, "four columns, the test in backticks"
    file, _, name = row["test"].partition("::")
    assert name in names_in(ROOT / file)


def test_every_test_of_a_fault_is_in_the_table() -> None:
    named = {match[1] for line in ROWS if (match := re.search(r"::(\w+)`", line))}
    here = [file for file in HERE.glob("test_*.py") if file != Path(__file__)]
    assert {name for file in here for name in names_in(file) if name.startswith("test_")} <= named
