"""The simulated host of ``--demo``: its clock, its history, and how it is asked for."""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wan_exporter.__main__ import main
from wan_exporter.arguments import parser
from wan_exporter.demo.clock import run_simulated
from wan_exporter.demo.scenarios import SCENARIOS

NOON = 1_767_268_800
# What is about the process that plays, not about the host that it plays.
OF_THE_PROCESS = ("process_", "python_")


def test_simulated_time_passes_when_nobody_has_anything_to_do() -> None:
    async def main() -> tuple[float, float, int]:
        began = time.monotonic()
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(60))
        found = await asyncio.to_thread(lambda: 7)
        return time.time(), time.monotonic() - began, found

    real = time.monotonic()
    at, passed, found = run_simulated(main, float(NOON))
    assert at == pytest.approx(NOON + 3600)
    assert passed == pytest.approx(3600)
    assert found == 7
    assert time.monotonic() - real < 3600, "and the real clock is back"


def history(file: Path) -> str:
    arguments = ("--demo", "gpu-lost", "--history", str(file), "--days", "0.02", "--until", str(NOON))
    script = "import sys; from wan_exporter.__main__ import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, timeout=120)
    return file.read_text()


def test_the_same_script_gives_the_same_history(tmp_path: Path) -> None:
    first, second = (history(tmp_path / name) for name in ("one.om", "two.om"))
    lines = [line for line in first.splitlines() if not line.startswith(OF_THE_PROCESS)]
    assert lines == [line for line in second.splitlines() if not line.startswith(OF_THE_PROCESS)]

    def of(name: str) -> list[tuple[float, float]]:
        """Time and value of every sample of one series, in the order of the file."""
        found = re.findall(rf"^{re.escape(name)} (\S+) (\S+)$", first, re.M)
        return [(float(at), float(value)) for value, at in found]

    up = of('up{job="wantui",instance="demo:12022"}')
    assert len(up) == 29
    assert all(NOON - 0.02 * 86_400 <= at <= NOON for at, _ in up)
    assert up == sorted(up)
    (lost,) = {line.rpartition("}")[0] + "}" for line in lines if line.startswith('wantui_gpu_up{gpu="1"')}
    values = [value for _, value in of(lost)]
    assert (values[0], min(values), values[-1]) == (1, 0, 1), "there is a before and an after"
    families = re.findall(r"^# TYPE (\S+)", first, re.M)
    assert len(set(families)) == len(families)
    assert first.endswith("# EOF\n")


def test_the_help_names_every_scenario() -> None:
    text = " ".join(parser().format_help().split()).replace("- ", "-")  # names are broken where lines are
    assert all(name in text for name in SCENARIOS)


def test_an_unknown_scenario_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "gpu-lots"]) == 2
    assert "did you mean gpu-lost" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--history", "x"], ["--demo", "healthy", "--config", "x"], ["--days", "0"]])
def test_what_makes_no_sense_is_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: wan-exporter" in capsys.readouterr().err


def test_a_history_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "healthy", "--history", str(tmp_path / "no" / "x.om")]) == 1
    assert "cannot write the history" in capsys.readouterr().err
