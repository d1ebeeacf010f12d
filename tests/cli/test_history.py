"""wan-tui history: what it prints, what it refuses, and that it changes nothing."""

import csv
import io
import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.harness import config
from tests.core.test_history import record
from wan_tui.cli.main import main
from wan_tui.core.history import TOTAL, Figure, History, Kind, Record
from wan_tui.core.history.tables import CSV_HEADER
from wan_tui.core.runtime.past import parse_since

NOW = time.time()


@pytest.fixture
def settings(home: Path) -> str:
    return config(home, f'[paths]\nhistory = "{home}/history.sqlite3"\n[deployments.pocket]\nmodel = "t2v-pocket"\n')


def keep(home: Path, *records: Record) -> Path:
    history = History(home / "history.sqlite3")
    for one in records:
        history.record(one)
    history.close()
    return home / "history.sqlite3"


LOAD = record(
    kind=Kind.LOAD,
    ended_at=NOW - 7200,
    first=True,
    clip=None,
    request=None,
    basis="modelled",
    runs=0,
    figures=(
        Figure(stage=TOTAL, modelled=6.0, low=2.0, expected=6.0, high=30.0, observed=5.0),
        Figure(stage="vae", observed=1.0),
    ),
)


def test_estimates_stand_beside_observations_newest_first(
    home: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(home, LOAD, record(3.0, ended_at=NOW))
    assert main(["--config", settings, "history"]) == 0
    head, run, load = capsys.readouterr().out.splitlines()
    assert head.split() == [
        *("ENDED", "WHAT", "DEPLOYMENT", "MODEL", "DEVICE", "CLIP", "ESTIMATED", "TOOK", "ERROR", "BASIS")
    ]
    assert "64x64x9, 4 steps" in run
    assert "2.5 s (1.5 s - 4.0 s)" in run
    assert "3.0 s" in run
    assert "+20.0 %" in run
    assert run.endswith("calibrated (3 runs)")
    assert load.endswith("modelled")
    assert " load " in load


def test_json_has_every_stage_and_no_prompt(home: Path, settings: str, capsys: pytest.CaptureFixture[str]) -> None:
    keep(home, record(3.0, ended_at=NOW))
    assert main(["--config", settings, "history", "--json"]) == 0
    text = capsys.readouterr().out
    (run,) = json.loads(text)
    assert run["clip"] == {"width": 64, "height": 64, "frames": 9, "steps": 4, "guidance": 4.0}
    assert run["versions"] == {"driver": "580.1", "torch": "2.9", "diffusers": "0.42"}
    assert [(figure["stage"], figure["unit"]) for figure in run["figures"]] == [
        ("total", "seconds"),
        ("vae_decode", "seconds"),
        ("image_encode", "seconds"),
        ("vae_decode", "bytes"),
    ]
    assert "red circle" not in text


def test_csv_has_a_line_for_every_figure(home: Path, settings: str, capsys: pytest.CaptureFixture[str]) -> None:
    keep(home, LOAD, record(3.0, ended_at=NOW))
    assert main(["--config", settings, "history", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == list(CSV_HEADER)
    assert [row["stage"] for row in rows] == ["total", "vae_decode", "image_encode", "vae_decode", "total", "vae"]
    assert (rows[0]["low"], rows[0]["observed"], rows[3]["observed"]) == ("1.5", "3", str(2**30))
    assert rows[5]["modelled"] == rows[5]["width"] == ""


def test_it_can_be_narrowed(home: Path, settings: str, capsys: pytest.CaptureFixture[str]) -> None:
    keep(home, LOAD, record(3.0, ended_at=NOW), record(4.0, deployment="gone", ended_at=NOW - 10))

    def shown(*arguments: str) -> list[dict[str, object]]:
        assert main(["--config", settings, "history", "--json", *arguments]) == 0
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return found

    assert len(shown()) == 3
    assert [run["kind"] for run in shown("--since", "1h")] == ["run", "run"]
    assert [run["deployment"] for run in shown("--deployment", "gone")] == ["gone"]
    assert [run["deployment"] for run in shown("--deployment", "pocket", "--since", "90m")] == ["pocket"]


def test_a_host_without_history_says_so_and_makes_no_file(
    home: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", settings, "history"]) == 0
    assert "nothing yet" in capsys.readouterr().out
    assert main(["--config", settings, "history", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert not (home / "history.sqlite3").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "yesterday"], "--since 'yesterday': write a date"),
        (["--since", "3 parsecs"], "--since '3 parsecs'"),
        (["--since", "-2h"], "--since '-2h'"),
        (["--since", ""], "--since ''"),
        (["--since", "2026-02-30"], "--since '2026-02-30'"),
        (["--json", "--csv"], "choose one"),
        (["--deployment", "pockte"], "did you mean pocket"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    home: Path, settings: str, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    keep(home, record(3.0, ended_at=NOW))
    assert main(["--config", settings, "history", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_file_that_is_no_history_is_one_line_and_stays(
    home: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "history.sqlite3").write_text("not a database, and long enough to be looked at" * 30)
    assert main(["--config", settings, "history"]) == 1
    error = capsys.readouterr().err
    assert "cannot be read" in error
    assert error.count("\n") == 1
    assert (home / "history.sqlite3").read_text().startswith("not a database")


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("2h", 7200), ("1.5h", 5400), ("3d", 259200), ("1W", 604800)]
)
def test_a_duration_counts_back_from_now(text: str, seconds: float) -> None:
    assert parse_since(text, 1e9) == 1e9 - seconds


def test_a_date_is_local_unless_it_says_otherwise() -> None:
    assert parse_since("2026-01-31", NOW) == datetime(2026, 1, 31).timestamp()
    assert parse_since("2026-01-31T14:00", NOW) == datetime(2026, 1, 31, 14).timestamp()
    assert parse_since("2026-01-31T14:00:00+00:00", NOW) == 1769868000.0
    assert parse_since("999999999w", NOW) == 0.0
