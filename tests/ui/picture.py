"""The pictures of the README, drawn from the fixed snapshots of the tests.

``python -m tests.ui.picture FOLDER`` writes overview.svg, gpus.svg, generate.svg, jobs.svg and compatibility.svg. Half
blocks make a large SVG, so the README has the form as a PNG: ``rsvg-convert -w 1280 generate.svg -o generate.png``.
"""

import asyncio
import base64
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

from textual.widgets import TextArea

from tests import snapshots
from tests.past_runs import a_week
from tests.snapshot_parts import AT
from tests.ui.assessments import fits
from tests.ui.fake_client import FakeClient
from tests.ui.planned import planned_client
from wan_tui.core.alerts.watch import AlertWatch
from wan_tui.core.hardware.processes import ProcessDetail
from wan_tui.core.hardware.samples import GpuSample
from wan_tui.core.hardware.trace import GpuTrace
from wan_tui.core.runtime.state import Preview
from wan_tui.core.snapshot import Snapshot
from wan_tui.ui.app import WanTuiApp


async def draw(
    snapshot: Snapshot, keys: tuple[str, ...], size: tuple[int, int] = (100, 30), prompt: str | None = None
) -> str:
    """The screen after ``keys`` as SVG."""
    client = FakeClient(snapshot)
    client.answer, client.runs = fits, a_week()
    return await shown(client, keys, size, prompt)


async def shown(client: FakeClient, keys: tuple[str, ...], size: tuple[int, int], prompt: str | None = None) -> str:
    """What ``client`` gives after ``keys``, once nothing more is asked of it."""
    app = WanTuiApp(lambda: client, clock=lambda: AT + 0.4, ascii_only=False)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        if prompt is not None:
            field = app.screen.query_one("#prompt", TextArea)
            field.text = prompt
            field.move_cursor(field.document.end)
        asked = -1
        while len(client.questions) > asked:
            asked = len(client.questions)
            await pilot.pause(1.0)
        picture = app.export_screenshot(title="wan-tui")
    # Converters drop the blanks at the ends of a piece of text otherwise.
    return picture.replace("<text ", '<text xml:space="preserve" ')


def lighthouse(width: int = 64, height: int = 40) -> Preview:
    """Something to look at: evening sky, sea, a tower with its beam."""
    rgb = bytearray()
    for y in range(height):
        for x in range(width):
            down = y / height
            if down > 0.72:
                wave = 18 * math.sin(x * 0.7 + y * 2.1) + 10 * math.sin(x * 0.23 - y)
                colour = (24 + wave / 3, 62 + wave, 92 + wave)
            else:
                colour = (70 + 170 * down, 60 + 70 * down, 110 - 30 * down)
                beam = abs(y - height * 0.24 - (x - width * 0.68) * -0.12)
                if x < width * 0.68 and beam < 1 + (width * 0.68 - x) / 14:
                    colour = (250 - 60 * (1 - x / width), 226, 150)
            if abs(x - width * 0.68) < 2 + 2 * down and 0.2 < down < 0.78:
                colour = (210, 60, 56) if int(down * 12) % 2 else (236, 232, 226)
            rgb += bytes(int(min(max(channel, 0), 255)) for channel in colour)
    return Preview(width, height, base64.b64encode(bytes(rgb)).decode("ascii"))


def generating() -> Snapshot:
    """The job of ``eight_gpus_one_lost`` with a picture of what it makes."""
    snapshot = snapshots.eight_gpus_one_lost()
    jobs = tuple(replace(job, preview=lighthouse()) if job.preview is not None else job for job in snapshot.jobs)
    return replace(snapshot, jobs=jobs)


def watched() -> FakeClient:
    """Eight GPUs with the alerts of the lost one, and an hour of work behind them."""
    snapshot, watch = generating(), AlertWatch()
    watch.look(replace(snapshot, taken_at=AT - 3600))
    client = FakeClient(replace(snapshot, alerts=watch.look(snapshot)))
    client.traces = {gpu.uuid: course(gpu) for gpu in snapshot.gpus if gpu.up}
    client.processes = {
        snapshot.gpus[0].uuid: (
            ProcessDetail(pid=5001, user="wan", command="python -m wan_tui.worker --fd 9", started_at=AT - 7200),
        )
    }
    return client


def course(gpu: GpuSample) -> GpuTrace:
    """An hour in which two GPUs generated clip after clip."""
    busy = gpu.utilization_ratio or 0.0
    worked = busy > 0.5 or gpu.index == 1
    seconds = range(-3600, 0, 5)
    load = [0.99 if worked and (second + 140 * gpu.index) % 1190 > 60 else 0.0 for second in seconds]
    load = [value * (0.93 + 0.07 * math.sin(second / 11)) for value, second in zip(load, seconds, strict=True)]
    if busy <= 0.5:
        load = [value if second < -600 else 0.0 for value, second in zip(load, seconds, strict=True)]
    used = gpu.memory_used_bytes or 0
    return GpuTrace(
        uuid=gpu.uuid,
        interval_seconds=5.0,
        at=tuple(AT + second for second in seconds),
        utilization_ratio=tuple(load),
        memory_used_bytes=tuple(used * (0.9 + 0.1 * value) for value in load),
        temperature_celsius=tuple(36 + 32 * value for value in load),
        power_watts=tuple(72 + 590 * value for value in load),
        sm_clock_hertz=tuple(gpu.sm_clock_hertz or 0.0 for _ in load),
    )


def main(folder: Path) -> None:
    os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", TZ="UTC")
    folder.mkdir(parents=True, exist_ok=True)
    prompt = "a lighthouse in a storm, waves break on the rocks, evening light, slow tracking shot"
    pictures = {
        "overview": shown(watched(), (), (132, 40)),
        "gpus": shown(watched(), ("7",), (132, 40)),
        "generate": draw(generating(), ("5",), (140, 40), prompt),
        "jobs": draw(generating(), ("6",), (140, 40)),
        "compatibility": shown(planned_client()[0], ("3", "right"), (118, 36)),
    }
    for name, picture in pictures.items():
        (folder / f"{name}.svg").write_text(asyncio.run(picture))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
