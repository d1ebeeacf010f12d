"""What is promised on a GPU that workers of our own, other deployments and strangers share."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.planning.parts import CARDS, CATALOGUE, GIB, GpuProcess, card_sample, gpu, hardware, host, judged
from tests.core.planning.test_remedies import applied, without
from wan_tui.core.catalog.gpus import GpuModel
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.config.settings import RequestDefaults
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.remedies import RUNS
from wan_tui.core.words import Verdict

OURS = 1


def test_only_strangers_are_named_and_our_own_memory_counts_as_free() -> None:
    held = (GpuProcess(42, 23 * GIB, "train.py"), GpuProcess(OURS, GIB // 4))
    answer = judged("ti2v-5B", hardware(gpu(24, used_gib=23.5, processes=held)), host(64), own_pids=(OURS,))
    assert answer.verdict is Verdict.TIGHT
    assert answer.remedies[0].title == "stop train.py 42 on gpu:0: frees 23.0 GiB"
    assert answer.remedies[0].headroom_bytes < 24 * GIB


def test_stopping_a_process_does_not_free_what_is_reserved() -> None:
    machine = hardware(gpu(24, used_gib=23.9, processes=(GpuProcess(42, 23 * GIB),)))
    entry, wanted = CATALOGUE.find("ti2v-5B"), DeploymentSettings(model="ti2v-5B")
    answer = assess(entry, wanted, machine, host(64), reserved={"GPU-0": 12 * GIB})
    (freeing,) = [remedy for remedy in answer.remedies if not remedy.changes]
    assert freeing.headroom_bytes < 12 * GIB


def test_no_clip_is_offered_that_would_hardly_be_a_video() -> None:
    for gib in (2.6, 3, 4, 5):
        for remedy in judged("t2v-A14B", hardware(gpu(gib)), host(256)).remedies:
            changes = dict(remedy.changes)
            assert int(changes.get("defaults.frames", 81)) >= 17
            assert int(changes.get("defaults.width", 832)) * int(changes.get("defaults.height", 480)) >= 256 * 256


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    model=st.sampled_from(["t2v-A14B", "i2v-A14B", "ti2v-5B"]),
    card=st.sampled_from([card for card in CARDS if card.memory_gib <= 48]),
    profile=st.sampled_from(["auto", "resident-bf16", "quality", "fast", "rtx-3080", "low-vram"]),
    held=st.lists(st.integers(0, 48 * 1024), max_size=3),
    mine=st.integers(0, 2048),
    reserved=st.integers(0, 8 * 1024),
    frames=st.none() | st.integers(0, 20),
    on_host=st.integers(24, 128),
)
def test_every_remedy_keeps_its_promise_to_the_byte(
    model: str,
    card: GpuModel,
    profile: str,
    held: list[int],
    mine: int,
    reserved: int,
    frames: int | None,
    on_host: int,
) -> None:
    left = card.memory_bytes - (mine << 20)
    processes = [GpuProcess(OURS, mine << 20)]
    for pid, mib in enumerate(held, 100):
        size = min(mib << 20, left)
        left -= size
        processes.append(GpuProcess(pid, size, "train"))
    machine = hardware(card_sample(card, memory_free_bytes=left, processes=tuple(processes)))
    clip = RequestDefaults(frames=None if frames is None else 4 * frames + 1)
    wanted = DeploymentSettings(model=model, profile=profile, defaults=clip)
    entry, kept = CATALOGUE.find(model), {"GPU-0": reserved << 20}
    answer = assess(entry, wanted, machine, host(on_host), own_pids=(OURS,), reserved=kept)
    assert not (answer.verdict in RUNS and answer.remedies)
    for remedy in answer.remedies:
        after, there = applied(wanted, remedy), without(machine, remedy)
        again = assess(entry, after, there, host(on_host), own_pids=(OURS,), reserved=kept)
        assert again.verdict is remedy.verdict in RUNS, remedy
        assert again.headroom_bytes == remedy.headroom_bytes > 0, remedy
        assert again.seconds is not None
        assert again.seconds.expected == remedy.seconds
