"""The pages of the alerts on the terminal: no network, no engine."""

import re
from importlib import resources
from pathlib import Path

import pytest

from wan_tui.cli.main import main

SOURCE = Path(__file__).parents[2] / "grafana" / "runbooks.md"


def test_the_package_carries_the_text_of_the_repository() -> None:
    assert resources.files("wan_tui.cli").joinpath("runbooks.md").read_text() == SOURCE.read_text()


@pytest.mark.parametrize("name", ["WanTuiGpuLost", "wantuigpulost", "GpuLost"])
def test_the_page_of_an_alert(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runbook", name]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("WanTuiGpuLost\n\nMeaning. ")
    for part in ("Impact.", "Diagnosis.", "Mitigation.", "nvidia-smi"):
        assert part in shown
    assert "WanTuiNvmlUnavailable" not in shown, "the page of another alert"


def test_without_a_name_every_alert_with_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runbook"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == re.findall(r"^## (\w+)$", SOURCE.read_text(), re.M)
    assert all(line.startswith("    ") and len(line) > 20 for line in lines[1::2])


def test_an_unknown_alert_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runbook", "WanTuiGpuLots"]) == 2
    assert "did you mean" in capsys.readouterr().err
