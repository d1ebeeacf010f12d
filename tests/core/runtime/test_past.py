"""The history as pages: newest first, narrowed, page after page, and the same text that the command prints."""

import json
from pathlib import Path

import pytest

from tests.core.runtime.harness import request
from tests.core.test_history import record
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.history import History, Kind
from wan_tui.core.runtime.past import PastFilter, PastPage, parse_filter
from wan_tui.core.runtime.past_pages import read_page, read_text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    history = History(tmp_path / "history.sqlite3")
    for number in range(7):
        history.record(
            record(
                float(number + 1),
                uid=f"run-{number}",
                ended_at=1000.0 + number // 2,  # some end in the same moment
                deployment="story" if number % 2 else "pocket",
                request=request(prompt=f"fox number {number}, 100% snow" if number < 3 else "a ship"),
            )
        )
    history.record(record(uid="load", kind=Kind.LOAD, ended_at=1.0, clip=None, request=None))
    history.close()
    return tmp_path / "history.sqlite3"


def ids(page: PastPage) -> list[str]:
    return [run.uid for run in page.runs]


def test_pages_follow_one_another_without_gap_or_overlap(path: Path) -> None:
    seen: list[str] = []
    before: str | None = None
    while True:
        page = read_page(path, PastFilter(), before=before, limit=3)
        assert page.matching == 8
        seen += ids(page)
        before = page.more
        if before is None:
            break
    assert seen == ["run-6", "run-5", "run-4", "run-3", "run-2", "run-1", "run-0", "load"]


def test_a_page_says_what_happened_and_goes_through_json(path: Path) -> None:
    page = read_page(path, PastFilter(), limit=1)
    (run,) = page.runs
    assert run.total is not None
    assert (run.total.expected, run.total.observed) == (2.5, 7.0)
    size = run.figure("vae_decode", "bytes")
    assert size is not None
    assert size.observed == 2**30
    assert run.request is not None
    assert run.request.prompt == "a ship"
    assert run.driver == "580.1"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("deployment:story", ["run-5", "run-3", "run-1"]),
        ("kind:load", ["load"]),
        ("FOX", ["run-2", "run-1", "run-0"]),
        ("fox deployment:story", ["run-1"]),
        ("100% number", ["run-2", "run-1", "run-0"]),
        ("100_", []),
        ("prompt", []),
        ("since:1970-01-01T00:16:43+00:00", ["run-6"]),
        ("", ["run-6", "run-5", "run-4", "run-3", "run-2", "run-1", "run-0", "load"]),
    ],
)
def test_it_can_be_narrowed_by_names_and_by_words(path: Path, text: str, found: list[str]) -> None:
    page = read_page(path, parse_filter(text, 2000.0))
    assert ids(page) == found
    assert page.matching == len(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind:walk", "kind 'walk': must be run or load"),
        ("since:yesterday", "since 'yesterday': write a date"),
        ("colour:red", "filter 'colour:red': write deployment:NAME"),
    ],
)
def test_a_filter_that_means_nothing_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_filter(text, 0.0)


def test_the_text_is_what_the_command_prints_for_all_that_match(path: Path) -> None:
    assert len(json.loads(read_text(path, PastFilter(), "json"))) == 8
    lines = read_text(path, PastFilter(deployment="story"), "csv").splitlines()
    assert lines[0].startswith("ended_at,kind,deployment")
    assert len(lines) == 1 + 3 * 4
    with pytest.raises(UsageError, match="must be csv or json"):
        read_text(path, PastFilter(), "yaml")


def test_no_file_is_an_empty_page_and_a_foreign_one_an_error(tmp_path: Path, path: Path) -> None:
    assert read_page(tmp_path / "none.sqlite3", PastFilter()) == PastPage(runs=(), matching=0)
    assert read_text(tmp_path / "none.sqlite3", PastFilter(), "json") == "[]\n"
    foreign = tmp_path / "foreign.sqlite3"
    foreign.write_text("not a database, and long enough to be looked at" * 30)
    with pytest.raises(WanTuiError, match="cannot be read"):
        read_page(foreign, PastFilter())
    with pytest.raises(UsageError, match="no such record"):
        read_page(path, PastFilter(), before="gone")
