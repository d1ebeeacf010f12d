"""The what-if matrix says of each card what the planner says, and does not move with what the card is doing."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests import snapshots
from tests.snapshot_parts import GIB, h100, holding, host
from wan_exporter.families_compatibility import PROFILES, VERDICTS, compatibility_families
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.gpus import recognise_gpu
from wan_tui.core.catalog.profiles import find_profile
from wan_tui.core.hardware.samples import GpuProcess, GpuSample
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.compatibility import judge
from wan_tui.core.planning.planner import HostRoom, Room, Task
from wan_tui.core.snapshot import Snapshot

Key = tuple[str, ...]


def matrix(snapshot: Snapshot) -> tuple[dict[Key, str], dict[Key, float]]:
    """Verdict and headroom by model, profile and GPU."""
    verdicts, headroom = compatibility_families(snapshot)
    words = {
        (s.labels["model"], s.labels["profile"], s.labels["gpu"]): s.labels["verdict"]
        for s in verdicts.samples
        if s.value == 1
    }
    assert len(verdicts.samples) == len(words) * len(VERDICTS), "exactly one is 1"
    return words, {(s.labels["model"], s.labels["profile"], s.labels["gpu"]): s.value for s in headroom.samples}


def machine(*gpus: GpuSample) -> Snapshot:
    return replace(snapshots.empty_host(), host=host(memory=512 * GIB), gpus=gpus)


def test_each_cell_is_what_the_planner_says_of_the_empty_card() -> None:
    words, headroom = matrix(machine(h100(0)))
    models = [model for model in load_catalogue().models if model.weights == "checkpoint"]
    assert set(words) == {(model.id, profile, "0") for model in models for profile in PROFILES}
    sample = h100(0)
    assert sample.memory_total_bytes is not None
    assert sample.memory_reserved_bytes is not None
    room = Room(
        device="gpu:0",
        uuid="",
        total_bytes=sample.memory_total_bytes,
        free_bytes=(sample.memory_total_bytes - sample.memory_reserved_bytes) // (64 << 20) * (64 << 20),
        gpu=recognise_gpu(sample.name, sample.memory_total_bytes, (9, 0), clock_hertz=sample.sm_clock_max_hertz),
    )
    for model in models:
        for profile in PROFILES:
            task = Task(model=model, clip=default_clip(model), profile=find_profile(profile))
            answer = judge(task, (room,), HostRoom(512 * GIB, 512 * GIB))
            assert words[model.id, profile, "0"] == answer.verdict
            assert headroom.get((model.id, profile, "0")) == answer.headroom_bytes


def test_what_the_card_does_changes_nothing() -> None:
    idle, busy = h100(0), replace(holding(h100(0), GpuProcess(77, 70 * GIB)), sm_clock_hertz=1e8)
    assert matrix(machine(idle)) == matrix(machine(busy))
    lost = replace(idle, up=False, memory_used_bytes=None)
    assert matrix(machine(idle)) == matrix(machine(lost)), "what it will be when it is back"


def test_cards_of_one_kind_are_alike_and_others_are_not() -> None:
    small = replace(h100(1), name="NVIDIA GeForce RTX 3080", memory_total_bytes=10 * GIB, compute_capability="8.6")
    words, _ = matrix(machine(h100(0), small, h100(2)))

    def of(gpu: str) -> Mapping[Key, str]:
        return {key[:2]: word for key, word in words.items() if key[2] == gpu}

    assert of("0") == of("2") != of("1")
    assert of("1")["t2v-A14B", "resident-bf16"] == "incompatible"


@pytest.mark.parametrize("change", [{"mig_mode": "enabled"}, {"memory_total_bytes": None}])
def test_a_split_or_unknown_card_has_no_row(change: dict[str, object]) -> None:
    words, headroom = matrix(machine(replace(h100(0), **change)))  # type: ignore[arg-type]
    assert (words, headroom) == ({}, {})
