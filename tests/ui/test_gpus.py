"""The tab about GPUs, and the page of one."""

from dataclasses import replace

import pytest

from tests import snapshots
from tests.snapshot_parts import AT, h100
from tests.ui.conftest import Drive
from tests.ui.test_shell import command
from wan_tui.core.errors import UsageError
from wan_tui.core.hardware.processes import ProcessDetail
from wan_tui.core.hardware.samples import XidCount
from wan_tui.core.hardware.trace import GpuTrace
from wan_tui.ui import chart
from wan_tui.ui.screens.gpus import GpuPage, GpusScreen
from wan_tui.ui.screens.overview import OverviewScreen
from wan_tui.ui.text import line_width

SECOND = h100(1).uuid


def hour(uuid: str) -> GpuTrace:
    values = tuple(i / 720 for i in range(720))
    return GpuTrace(
        uuid=uuid,
        interval_seconds=5.0,
        at=tuple(AT - 3600 + 5 * i for i in range(720)),
        utilization_ratio=values,
        memory_used_bytes=tuple(value * 80 * 2**30 for value in values),
        temperature_celsius=tuple(30 + 40 * value for value in values),
        power_watts=tuple(700 * value for value in values),
        sm_clock_hertz=tuple(2e9 for _ in values),
    )


async def test_figures_processes_and_the_course_of_the_selected_gpu(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(160, 48)) as it:
        it.client.traces[SECOND] = hour(SECOND)
        it.app.session._courses.clear()  # it asked when it started
        it.client.processes[SECOND] = (
            ProcessDetail(pid=5002, user="wan", command="python -m wan_tui.worker", started_at=AT - 3700),
            ProcessDetail(pid=9001, user="alice", command="python3 train.py --big", started_at=AT - 60),
        )
        await it.press("7", "j")
        facts, processes = it.text("#gpu-facts"), it.text("#gpu-processes")
        assert "68 °C, memory 42; slows at 87, stops at 92" in facts
        assert "ours 70.0 GiB, others 3.0 GiB, driver 551.0 MiB" in facts
        assert "generation 5 ×16" in facts
        assert "sw power cap" in facts
        assert "MIG          disabled" in facts
        assert "photo" in processes, "ours by the name of its deployment"
        assert "alice" in processes
        assert "python3 train.py --big" in processes
        assert "1 h 02 min" in processes
        graphs = it.rows("#gpu-graphs")
        assert "100 %" in graphs[2]
        assert "60 min ago" in graphs[-1]
        assert "█" in graphs[-2]


async def test_enter_opens_one_gpu_from_the_list_and_from_the_overview(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await it.press("7", "j", "enter")
        assert isinstance(it.app.screen, GpuPage)
        assert "GPUs › GPU 1" in it.text("#header")
        await it.press("escape")
        assert isinstance(it.app.screen, GpusScreen)
        await it.press("escape")
        assert isinstance(it.app.screen, OverviewScreen)
        it.app.screen.query_one("#devices").focus()
        await it.press("j", "j", "enter")
        await it.settle()
        assert isinstance(it.app.screen, GpuPage)
        assert "GPUs › GPU 2" in it.text("#header")


async def test_a_command_opens_one_gpu_too(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await command(it, ":gpu 3")
        await it.settle()
        assert "GPUs › GPU 3" in it.text("#header")
        await command(it, ":gpu 12")
        assert "unknown GPU '12'" in it.text("#status")


async def test_a_lost_gpu_says_so_and_what_to_do(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        await command(it, ":gpu 6")
        await it.settle()
        assert "✗ LOST" in it.text("#gpu-facts")
        assert "dmesg" in it.text("#gpu-facts")


async def test_errors_of_the_driver_are_flags_and_stay_with_a_lost_gpu(drive: Drive) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    xid = (XidCount(79, 1, AT - 60), XidCount(13, 4, AT - 90))
    gpus = [replace(gpu, xid_errors=xid) if gpu.index in (2, 6) else gpu for gpu in snapshot.gpus]
    async with drive(replace(snapshot, gpus=tuple(gpus)), size=(160, 48)) as it:
        rows = it.rows("#devices")
        assert "! Xid 79, Xid 13 (4…" in rows[4]
        assert "LOST  Xid 79, Xid 13 (4 times)  GPU is lost" in rows[8]
        await command(it, ":gpu 2")
        await it.settle()
        assert "Xid 79, Xid 13 (4 times), the last 01:00 ago" in it.text("#gpu-facts")


async def test_without_a_gpu_there_is_a_word_about_it(drive: Drive) -> None:
    async with drive(snapshots.empty_host()) as it:
        await it.press("7")
        assert "no GPU here" in it.text("#gpu-facts")


async def test_an_engine_that_cannot_say_more_is_no_trouble(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost()) as it:
        it.client.refusal = UsageError("no such route")
        await it.press("7")
        assert "wan-worker" in it.text("#gpu-processes")
        assert "no such route" not in it.screen_text()


async def test_every_resize_keeps_the_selection(drive: Drive) -> None:
    async with drive(snapshots.eight_gpus_one_lost(), size=(160, 48)) as it:
        await it.press("7", "j", "j")
        for size in ((60, 20), (80, 24), (200, 60)):
            await it.pilot.resize_terminal(*size)
            await it.settle()
            assert "GPU 2" in it.text("#gpu-facts")


async def test_a_second_look_is_not_a_second_question(drive: Drive) -> None:
    snapshot = snapshots.eight_gpus_one_lost()
    async with drive(snapshot) as it:
        asked: list[str] = []
        original = it.client.gpu_processes

        async def counted(uuid: str) -> tuple[ProcessDetail, ...]:
            asked.append(uuid)
            return await original(uuid)

        it.client.gpu_processes = counted  # type: ignore[method-assign]
        await it.press("7")
        for number in range(3):
            await it.publish(replace(snapshot, number=90211 + number))
        assert len(asked) == 1, "nobody knew the process, and five seconds are not over"


@pytest.mark.parametrize(("width", "height"), [(20, 1), (40, 4), (93, 9)])
def test_every_line_of_a_chart_has_its_width(width: int, height: int) -> None:
    lines = chart.area(
        [None, 0.0, 0.5, 1.0], high=1.0, width=width, height=height, spare=10, label=lambda v: f"{v:.0%}"
    )
    assert len(lines) == height
    assert {line_width(line) for line in lines} == {width}


def test_values_fall_on_columns_in_order_and_what_is_not_there_yet_is_a_gap() -> None:
    assert chart.squeeze([0.2, 0.4], 4, 4) == [None, None, 0.2, 0.4]
    assert chart.squeeze([1.0, 2.0, 3.0, 4.0], 2, 4) == [1.5, 3.5]
    assert chart.squeeze([1.0], 0, 4) == []
