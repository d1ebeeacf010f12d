"""wan-tui calibration: show, reset, export, import."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.harness import config
from tests.cli.test_history import LOAD, NOW, keep
from tests.core.test_history import record
from wan_tui.cli.main import main
from wan_tui.core.history import History, Kind, Unit
from wan_tui.core.history.reading import read_history


@pytest.fixture
def settings(home: Path) -> str:
    return config(home, f'[paths]\nhistory = "{home}/history.sqlite3"\n[deployments.pocket]\nmodel = "t2v-pocket"\n')


def calibration(settings: str, *arguments: str | Path) -> int:
    return main(["--config", settings, "calibration", *map(str, arguments)])


def test_show_says_how_far_off_the_model_is_and_how_good_the_estimates_were(
    home: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(home, LOAD, *(record(2.0 + number, ended_at=NOW - number) for number in range(3)))
    assert calibration(settings, "show") == 0
    runs, loads = capsys.readouterr().out.split("\n\n")
    assert runs.startswith(
        "t2v-pocket on a: 3 warm runs, median error 20 %, 3 of 3 (100 %) inside the 90 % interval\n"
        "  plan: precision=fp32 vae_precision=fp32 offload=none vae_tiling=False\n"
    )
    decode = next(line for line in runs.splitlines() if "vae_decode" in line and "seconds" in line)
    assert decode.split() == ["vae_decode", "seconds", "1.50", "3", "100", "%"]
    assert "1 load," in loads

    assert calibration(settings, "show", "--json") == 0
    groups = json.loads(capsys.readouterr().out)
    assert [(group["kind"], group["first"], group["runs"]) for group in groups] == [
        ("run", False, 3),
        ("load", True, 1),
    ]
    assert groups[0]["stages"][1]["observed_to_modelled_ratio"] == 1.5


def test_show_can_be_narrowed_and_says_when_there_is_nothing(
    home: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibration(settings, "show") == 0
    assert "nothing learnt yet" in capsys.readouterr().out
    keep(home, record(device="a"), record(device="b"), record(device="b", deployment="other"))
    for arguments, number in ((("--device", "b"), 2), (("--device", "b", "--deployment", "other"), 1)):
        assert calibration(settings, "show", "--json", *arguments) == 0
        assert [group["runs"] for group in json.loads(capsys.readouterr().out)] == [number]


def test_reset_wants_to_be_sure(home: Path, settings: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = keep(home, record(), record(deployment="story", device="b"))
    assert calibration(settings, "reset") == 2
    error = capsys.readouterr().err
    assert "add --yes, or choose with --deployment or --device" in error
    assert error.count("\n") == 1
    assert all(kept.counts for kept in read_history(path))

    assert calibration(settings, "reset", "--deployment", "nobody") == 1
    assert "no run of that deployment" in capsys.readouterr().err
    assert calibration(settings, "reset", "--device", "b") == 0
    assert capsys.readouterr().out.startswith("1 run or load no longer calibrates")
    assert sorted((kept.device, kept.counts) for kept in read_history(path)) == [("a", True), ("b", False)]
    assert calibration(settings, "reset", "--yes") == 0
    assert len(read_history(path)) == 2
    history = History(path)
    assert history.observations(Kind.RUN, Unit.SECONDS, model="t2v-pocket", device="a") == []
    history.close()


def test_what_was_exported_is_imported_elsewhere_once(
    home: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = keep(home, record(3.0), LOAD)
    before = read_history(path)
    file = home / "runs.json"
    assert calibration(settings, "export", file) == 0
    assert "wrote 2 runs and loads" in capsys.readouterr().err
    assert "red circle" not in file.read_text(), "prompts stay at home"

    path.rename(home / "elsewhere.sqlite3")
    assert calibration(settings, "import", file) == 0
    assert capsys.readouterr().out == "2 added, 0 there already\n"
    assert calibration(settings, "import", file) == 0
    assert capsys.readouterr().out == "0 added, 2 there already\n"
    assert calibration(settings, "reset", "--yes") == 0
    assert calibration(settings, "import", file) == 0
    assert "0 added, 2 back after a reset, 0 there already\n" in capsys.readouterr().out
    after = read_history(path)
    assert [kept.figures for kept in after] == [kept.figures for kept in before]
    assert [kept.subject("x") for kept in after] == [kept.subject("x") for kept in before]


def test_export_goes_to_standard_output_and_overwrites_nothing(
    home: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(home, record(device="a"), record(device="b"))
    assert calibration(settings, "export", "--device", "b") == 0
    exported = json.loads(capsys.readouterr().out)
    assert (exported["format"], exported["version"]) == ("wan-tui calibration", 1)
    assert [run["device"] for run in exported["records"]] == ["b"]
    file = home / "there.json"
    file.write_text("mine")
    assert calibration(settings, "export", file) == 1
    assert "never overwritten" in capsys.readouterr().err
    assert file.read_text() == "mine"


def spoilt(exported: dict[str, Any], **changes: object) -> str:
    return json.dumps({**exported, "records": [{**exported["records"][0], **changes}]})


def test_a_bad_file_is_one_line_that_names_file_key_and_value_and_changes_nothing(
    home: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = keep(home, record())
    assert calibration(settings, "export") == 0
    good = json.loads(capsys.readouterr().out)
    figure = good["records"][0]["figures"][0]
    bad = {
        "{": "not JSON",
        "\udcff": "not JSON",
        "[]": "the whole file = []",
        json.dumps({**good, "version": 2}): "version = 2: this wan-tui reads version 1",
        json.dumps({**good, "format": "something"}): "format = 'something'",
        json.dumps({**good, "extra": 1}): "extra = 1",
        spoilt(good, figures=[{**figure, "observed": -1}]): "records.0.figures.0.observed = -1",
        spoilt(good, figures=[{**figure, "observed": float("nan")}]): "records.0.figures.0.observed = nan",
        spoilt(good, figures=[]): "records.0.figures = []",
        spoilt(good, kind="walk"): "records.0.kind = 'walk'",
        spoilt(good, ended_at=9e9): "records.0.ended_at = 9000000000.0: this is in the future",
        spoilt(good, device="\x1b[31mred"): "records.0.device = '\\x1b[31mred'",
        spoilt(good, uid="../../x"): "records.0.uid = '../../x'",
        spoilt(good, clip={"width": 0}): "records.0.clip.width = 0",
        "[" * 100_000: "not JSON",
    }
    file = home / "bad.json"
    for content, said in bad.items():
        file.write_bytes(content.encode(errors="surrogateescape"))
        assert calibration(settings, "import", file) == 2, said
        error = capsys.readouterr().err
        assert f"{file}: {said}" in error
        assert error.count("\n") == 1, error
    assert calibration(settings, "import", home / "absent.json") == 2
    assert "does not exist" in capsys.readouterr().err
    assert calibration(settings, "import", home) == 1
    assert "cannot read" in capsys.readouterr().err
    assert len(read_history(path)) == 1
