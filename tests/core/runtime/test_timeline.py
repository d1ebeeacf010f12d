"""What the ring of a deployment keeps of its device memory."""

import dataclasses

from tests.core.planning.parts import GIB, gpu, hardware
from tests.core.runtime.test_asking import Worker, deployed
from wan_tui.core.hardware.samples import GpuProcess
from wan_tui.core.planning.plan import Compatibility, MemoryEstimate, PhaseMemory
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.state import WorkerStatus
from wan_tui.core.runtime.timeline import POINTS_KEPT, STEP_SECONDS, MemoryPoint, MemoryRing, record_memory
from wan_tui.core.words import Basis, Phase, Verdict


def point(at: float, used: int | None) -> MemoryPoint:
    return MemoryPoint(at=at, used_bytes=used, estimated_bytes=7)


def test_of_one_step_the_largest_use_is_kept() -> None:
    ring = MemoryRing()
    for at, used in ((0.0, 5), (0.5, 9), (1.0, 3), (STEP_SECONDS, 1)):
        ring.add(point(at, used))
    assert [(one.at, one.used_bytes) for one in ring.frozen().points] == [(0.0, 9), (STEP_SECONDS, 1)]


def test_an_hour_is_kept_and_no_more() -> None:
    ring = MemoryRing()
    for number in range(POINTS_KEPT + 10):
        ring.add(point(number * STEP_SECONDS, number))
    points = ring.frozen().points
    assert points[-1].at - points[0].at < 3600
    assert len(points) == POINTS_KEPT
    assert points[0].used_bytes == 10


def test_what_the_driver_books_for_the_worker_beside_what_was_estimated() -> None:
    story = deployed("story")
    story.worker = Worker()
    phases = (PhaseMemory(phase=Phase.VAE_DECODE, weights_bytes=3 * GIB, activation_bytes=GIB, context_bytes=0),)
    memory = MemoryEstimate(basis=Basis.MODELLED, loaded_bytes=2 * GIB, peak_bytes=4 * GIB, host_bytes=0, phases=phases)
    story.compatibility = Compatibility(verdict=Verdict.FITS, reason="", memory=memory)
    others = (GpuProcess(1, 9 * GIB, "other"), GpuProcess(Worker.pid, 3 * GIB, "wan-worker"))
    record_memory([story], JobQueue(10), hardware(gpu(24, processes=others)), at=10.0)
    (seen,) = story.timeline.frozen().points
    assert (seen.used_bytes, seen.estimated_bytes, seen.phase) == (3 * GIB, 2 * GIB, Phase.IDLE)


def test_without_a_worker_nothing_is_used_and_where_the_driver_hides_it_torch_says() -> None:
    story = deployed("story")
    record_memory([story], JobQueue(10), hardware(gpu(24)), at=0.0)
    story.worker = Worker()
    status = WorkerStatus(pid=Worker.pid, up=True, started_at=0.0, last_progress_at=0.0)
    story.worker_status = dataclasses.replace(status, device_reserved_bytes=5, resident_memory_bytes=8)
    record_memory([story], JobQueue(10), hardware(gpu(24, processes=None)), at=10.0)
    assert [one.used_bytes for one in story.timeline.frozen().points] == [None, 5]
