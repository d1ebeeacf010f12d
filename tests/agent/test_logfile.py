"""The agent's log is bounded, nothing that is said to it is lost on the way, and it reads as one."""

import logging
import logging.handlers
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.harness import wan_tui
from wan_tui.agent.logfile import follow, last_lines
from wan_tui.agent.places import places

# The handler of the agent, its output where `wan-tui agent start` points it, and a limit that is soon reached.
TALKATIVE_AGENT = """
import logging, os, sys
from pathlib import Path
import wan_exporter.__main__ as agent

agent.LOG_FILE_BYTES = 4000
logging.basicConfig(handlers=[agent._handler(Path(sys.argv[1]))], level=logging.INFO, format="%(message)s")
for number in range(400):
    logging.info("line %04d: %s", number, "x" * 20)
os.write(1, b"last words on standard output\\n")
os.write(2, b"Fatal Python error: last words on standard error\\n")
"""


def talk(log: Path, output: int) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(root / "exporter")))}
    subprocess.run(
        [sys.executable, "-c", TALKATIVE_AGENT, str(log)], stdout=output, stderr=output, env=environment, check=True
    )


def test_the_log_begins_anew_when_it_is_full_and_a_crash_still_lands_in_it(home: Path) -> None:
    log = places().log
    log.parent.mkdir(parents=True)
    with log.open("ab") as output:
        talk(log, output.fileno())
    assert sorted(file.name for file in log.parent.glob("*.log*")) == [log.name, f"{log.name}.1", f"{log.name}.2"]
    assert all(file.stat().st_size <= 4200 for file in log.parent.glob("*.log*"))
    assert log.read_text().endswith("last words on standard output\nFatal Python error: last words on standard error\n")

    shown = wan_tui("agent", "logs", "-n", "200").stdout.splitlines()
    assert len(shown) == 200
    assert shown[-3].startswith("line 0399")
    numbers = [int(line[5:9]) for line in shown[:-2]]
    assert numbers == list(range(400 - 198, 400)), "one log, whole and in order"


def test_the_terminal_of_one_who_logs_to_a_file_stays_a_terminal(home: Path) -> None:
    elsewhere = home / "terminal"
    with elsewhere.open("wb") as output:
        talk(home / "agent.log", output.fileno())
    assert elsewhere.read_text() == "last words on standard output\nFatal Python error: last words on standard error\n"


@pytest.mark.parametrize("burst", [1, 3, 6], ids=lambda burst: f"{burst} lines between two looks")
def test_following_misses_nothing_when_the_log_begins_anew(home: Path, burst: int) -> None:
    log = home / "agent.log"
    handler = logging.handlers.RotatingFileHandler(log, maxBytes=200, backupCount=2)
    said: list[str] = []

    def say() -> None:
        for _ in range(burst):
            said.append(f"line {len(said):04d} {'x' * 10}")
            handler.emit(logging.makeLogRecord({"msg": said[-1], "level": logging.INFO}))

    say()
    heard = ""
    for text in follow(log, 100, say):
        heard += text
        if len(said) >= 60:
            break
    handler.close()
    assert heard.splitlines() == said[: len(heard.splitlines())]
    assert len(heard.splitlines()) >= len(said) - burst


def test_a_log_that_is_emptied_is_read_from_its_beginning(home: Path) -> None:
    log = home / "agent.log"
    log.write_text("before\n")

    def empty() -> None:
        log.write_text("new\n")

    following = follow(log, 1, empty)
    assert [next(following), next(following)] == ["before\n", "new\n"]


def test_fewer_lines_than_asked_for_are_all_of_them(home: Path) -> None:
    (home / "agent.log.1").write_text("one\ntwo\n")
    (home / "agent.log").write_text("three\n")
    assert last_lines(home / "agent.log", 10) == ["one\n", "two\n", "three\n"]
    assert last_lines(home / "agent.log", 2) == ["two\n", "three\n"]
