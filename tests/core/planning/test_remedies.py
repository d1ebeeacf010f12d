"""Every change that is offered is one that works: applied and assessed again, it does what it promised."""

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.core.planning.parts import GIB, GpuProcess, gpu, hardware, host
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.hardware.samples import GpuSample, HardwareSample
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.plan import Compatibility, Remedy
from wan_tui.core.planning.remedies import RUNS
from wan_tui.core.words import Verdict

CATALOGUE = load_catalogue()
FOREIGN = GpuProcess(4711, 30 * GIB, "python3")


def applied(wanted: DeploymentSettings, remedy: Remedy) -> DeploymentSettings:
    """The settings with the remedy's changes, as a face would write them."""
    data: dict[str, Any] = wanted.model_dump()
    for key, value in remedy.changes:
        place = data
        *folders, last = key.split(".")
        for folder in folders:
            place = place[folder]
        place[last] = value
    return DeploymentSettings.model_validate(data)


def without(machine: HardwareSample, remedy: Remedy) -> HardwareSample:
    """The machine after the processes that the remedy names were stopped."""

    def freed(sample: GpuSample) -> GpuSample:
        stopped = [
            p for p in sample.processes or () if f" {p.pid}" in remedy.title and f"gpu:{sample.index}" in remedy.title
        ]
        back = sum(process.used_memory_bytes or 0 for process in stopped)
        return dataclasses.replace(
            sample,
            processes=tuple(p for p in sample.processes or () if p not in stopped),
            memory_free_bytes=(sample.memory_free_bytes or 0) + back,
            memory_used_bytes=(sample.memory_used_bytes or 0) - back,
        )

    if not remedy.title.startswith("stop "):
        return machine
    return dataclasses.replace(machine, gpus=tuple(map(freed, machine.gpus)))


def asked(wanted: DeploymentSettings, machine: HardwareSample, gib: float) -> Compatibility:
    return assess(CATALOGUE.find(wanted.model), wanted, machine, host(gib))


def hold(wanted: DeploymentSettings, machine: HardwareSample, gib: float) -> list[Remedy]:
    """Check every remedy of a question; returns them."""
    answer = asked(wanted, machine, gib)
    for remedy in answer.remedies:
        after = asked(applied(wanted, remedy), without(machine, remedy), gib)
        assert (after.verdict, after.headroom_bytes) == (remedy.verdict, remedy.headroom_bytes), remedy
        assert after.verdict in RUNS
    return list(answer.remedies)


def titles(remedies: list[Remedy]) -> str:
    return " | ".join(remedy.title for remedy in remedies)


def test_what_runs_needs_no_remedy() -> None:
    assert asked(DeploymentSettings(model="ti2v-5B"), hardware(gpu(80)), 256).remedies == ()


def test_a_stranger_on_the_gpu_can_be_stopped() -> None:
    busy = gpu(32, used_gib=30.5, processes=(FOREIGN,))
    remedies = hold(DeploymentSettings(model="ti2v-5B"), hardware(busy), 256)
    assert remedies[0].title.startswith("stop python3 4711 on gpu:0: frees 30.0 GiB")
    assert remedies[0].changes == ()


def test_another_gpu_another_profile_fewer_frames_and_a_smaller_size_are_offered() -> None:
    wanted = DeploymentSettings(model="t2v-A14B", device="gpu:0", profile="resident-bf16")
    remedies = hold(wanted, hardware(gpu(32, index=0), gpu(80, index=1)), 256)
    changes = {key for remedy in remedies for key, _ in remedy.changes}
    assert {"device", "profile"} <= changes
    assert "use gpu:1" in titles(remedies)
    low = DeploymentSettings(model="ti2v-5B", profile="low-vram")
    small = hold(low, hardware(gpu(5)), 256)
    assert {"defaults.width", "defaults.height"} <= {key for remedy in small for key, _ in remedy.changes}


def test_the_longest_clip_that_fits_is_offered() -> None:
    wanted = DeploymentSettings(model="ti2v-5B", profile="low-vram")
    for size in (5, 6, 7):
        machine = hardware(gpu(size))
        for remedy in hold(wanted, machine, 256):
            (frames,) = [value for key, value in remedy.changes if key == "defaults.frames"] or [None]
            if frames is not None:
                more = wanted.model_copy(update={"defaults": wanted.defaults.model_copy(update={"frames": frames + 4})})
                assert asked(more, machine, 256).verdict not in RUNS


@pytest.mark.parametrize("model", ["t2v-A14B", "i2v-A14B", "ti2v-5B"])
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.sampled_from([3, 4, 6, 8, 10, 12, 16, 24, 32, 48, 80]), min_size=1, max_size=3),
    taken=st.sampled_from([0.5, 2.0, 6.0]),
    memory=st.sampled_from([16, 32, 64, 256]),
    profile=st.sampled_from(["auto", "quality", "fast", "rtx-4080", "low-vram", "resident-bf16"]),
    pinned=st.booleans(),
)
def test_every_remedy_keeps_its_promise(
    model: str, sizes: list[int], taken: float, memory: int, profile: str, pinned: bool
) -> None:
    foreign = GpuProcess(99, int((taken - 0.5) * GIB), "game") if taken > 0.5 else None
    gpus = [
        gpu(size, index=index, used_gib=min(taken, size), processes=(foreign,) if foreign else ())
        for index, size in enumerate(sizes)
    ]
    wanted = DeploymentSettings(model=model, profile=profile, device="gpu:0" if pinned else "auto")
    answer = asked(wanted, hardware(*gpus), memory)
    assume(answer.verdict is not Verdict.UNKNOWN)
    hold(wanted, hardware(*gpus), memory)
