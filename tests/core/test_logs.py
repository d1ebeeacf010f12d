"""Lines that the engine's process and its workers said."""

import asyncio
import logging
import sys
from pathlib import Path

import pytest

from tests.core.runtime.harness import settings, until
from wan_tui.core.engine import Engine
from wan_tui.core.errors import UsageError
from wan_tui.core.logs import LINES_KEPT, Logs
from wan_tui.core.runtime.launcher import Worker


def test_the_newest_lines_are_kept_and_what_is_gone_is_counted() -> None:
    logs = Logs()
    for number in range(LINES_KEPT + 10):
        logs.add("agent", f"line {number}")
    page = logs.page("agent")
    assert page.dropped == 10
    assert page.lines[-1].text == f"line {LINES_KEPT + 9}"
    assert len(page.lines) == 1000, "a page has an end"
    assert [line.text for line in logs.page("agent", after=page.lines[-2].number).lines] == [page.lines[-1].text]


def test_an_unknown_source_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="unknown log 'worker nobody'"):
        Logs().page("worker nobody")


async def test_the_engine_keeps_its_events_and_the_records_of_its_process(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        await until(engine, lambda s: True)
        logging.getLogger("aiohttp.server").error("something odd\nin two lines")
        texts = [line.text for line in (await engine.logs("agent")).lines]
        assert any("wan-tui" in text and "started" in text for text in texts)
        assert texts[-2:] == ["something odd", "in two lines"]
    assert logging.getLogger().handlers == [h for h in logging.getLogger().handlers if h is not engine._logs.handler]


async def test_what_a_worker_writes_to_stderr_is_told_line_by_line() -> None:
    script = "import sys, time; sys.stderr.write('one\\ntwo\\n'); time.sleep(0.3); sys.exit('three')"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE)
    reader, writer = asyncio.StreamReader(), _Nowhere()
    reader.feed_eof()
    done = asyncio.Event()
    worker = Worker(process, reader, writer, lambda event: None, lambda ended: done.set())  # type: ignore[arg-type]
    heard: list[str] = []
    worker.listen(heard.append)
    await done.wait()
    assert heard == ["one", "two", "three"]


class _Nowhere:
    def close(self) -> None:
        pass
