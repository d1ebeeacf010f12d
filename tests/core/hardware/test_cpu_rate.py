"""The rate of the processors: measured once, remembered, and never in the way."""

import json
from pathlib import Path

import pytest

from wan_tui.core.hardware import cpu_rate
from wan_tui.core.hardware.cpu_rate import FILE_NAME, matmul_flop_per_second


def test_it_is_measured_once_and_remembered_by_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rate = matmul_flop_per_second(tmp_path / "cache", "EPYC x2")
    assert rate is not None
    assert 1e9 < rate < 1e15
    monkeypatch.setattr(cpu_rate, "_measure", lambda: 5e11)
    assert matmul_flop_per_second(tmp_path / "cache", "EPYC x2") == rate
    assert matmul_flop_per_second(tmp_path / "cache", "Xeon x8") == 5e11
    assert json.loads((tmp_path / "cache" / FILE_NAME).read_text()) == {"EPYC x2": rate, "Xeon x8": 5e11}


@pytest.mark.parametrize(
    "content", ["", "[", "[1]", '{"c": "fast"}', '{"c": true}', '{"c": -1}', '{"c": 1e400}', "\udcff"]
)
def test_a_damaged_file_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / FILE_NAME).write_bytes(content.encode("utf-8", "surrogateescape"))
    monkeypatch.setattr(cpu_rate, "_measure", lambda: 7e11)
    assert matmul_flop_per_second(tmp_path, "c") == 7e11


def test_without_numpy_or_a_place_to_write_there_is_still_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_rate, "_measure", lambda: None)
    assert matmul_flop_per_second(Path("/proc/nowhere"), "c") is None
    monkeypatch.setattr(cpu_rate, "_measure", lambda: 7e11)
    assert matmul_flop_per_second(Path("/proc/nowhere"), "c") == 7e11
