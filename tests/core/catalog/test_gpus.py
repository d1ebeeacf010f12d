"""The GPU table: who is who by NVML name and memory, what operators type, and cards that nobody knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_tui.core.catalog.efficiency import load_efficiency
from wan_tui.core.catalog.gpus import GIB, MIB, GpuModel, bounded_gpu, find_gpu, gpu_table, recognise_gpu, search_gpu
from wan_tui.core.errors import UsageError
from wan_tui.core.words import AttentionBackend


def test_every_entry_is_complete_and_stands_alone() -> None:
    table = gpu_table()
    assert len({(gpu.name, gpu.memory_gib) for gpu in table}) == len(table) >= 62
    for gpu in table:
        assert gpu.sources, gpu.label
        assert 2 * GIB < gpu.memory_bytes < 300 * GIB
        assert 1e11 < gpu.bandwidth_bytes_per_second < 1e13
        assert 1e13 < gpu.dense_op_per_second < 1e16
        assert gpu.supports_bf16 == (gpu.bf16_op_per_second is not None)
        assert gpu.supports_fp8 == (gpu.fp8_op_per_second is not None)
        assert not gpu.bounded
        assert gpu.rate_spread == 1


@pytest.mark.parametrize(
    ("name", "gib", "tera"),
    [  # GeForce halves the rate when it accumulates in fp32, the workstation card of the same chip does not
        ("NVIDIA GeForce RTX 3080", 10, 59.5),
        ("NVIDIA GeForce RTX 4080", 16, 97.5),
        ("NVIDIA GeForce RTX 4090", 24, 165.2),
        ("NVIDIA RTX 6000 Ada Generation", 48, 364.2),
        ("NVIDIA H100 80GB HBM3", 80, 989.4),
        ("NVIDIA H20", 96, 148.0),
    ],
)
def test_published_rates(name: str, gib: int, tera: float) -> None:
    gpu = find_gpu(name, gib * GIB)
    assert gpu is not None
    assert gpu.dense_op_per_second == pytest.approx(tera * 1e12)


def test_one_nvml_name_may_be_two_cards() -> None:
    for name, sizes in (("3060", (8, 12)), ("3080", (10, 12)), ("4060 Ti", (8, 16)), ("5060 Ti", (8, 16))):
        small, large = (find_gpu(f"NVIDIA GeForce RTX {name}", size * GIB) for size in sizes)
        assert small is not None
        assert large is not None
        assert (small.memory_gib, large.memory_gib) == sizes
        assert small.bandwidth_bytes_per_second <= large.bandwidth_bytes_per_second


def test_capabilities_of_generations() -> None:
    t4, rtx3080, rtx4080 = search_gpu("t4"), search_gpu("3080 10"), search_gpu("4080")
    assert (t4.compute_capability, t4.supports_bf16, t4.supports_fp8) == ((7, 5), False, False)
    assert (rtx3080.compute_capability, rtx3080.supports_bf16, rtx3080.supports_fp8) == ((8, 6), True, False)
    assert (rtx4080.compute_capability, rtx4080.supports_bf16, rtx4080.supports_fp8) == ((8, 9), True, True)


@pytest.mark.parametrize(
    ("name", "mib", "found"),
    [
        ("NVIDIA A40", 46068, "NVIDIA A40"),  # with ECC
        ("NVIDIA A40", 49140, "NVIDIA A40"),  # without
        ("NVIDIA L4", 24564, "NVIDIA L4"),
        ("Tesla T4", 15109, "Tesla T4"),
        ("Tesla T4", 16127, "Tesla T4"),
        ("GeForce RTX 3080", 10018, "NVIDIA GeForce RTX 3080"),  # drivers before 470 leave out the maker
        ("NVIDIA GeForce RTX 3080", 20480, None),
        ("NVIDIA A100-SXM4-80GB", 9856, None),  # a MIG slice
        ("NVIDIA GeForce RTX 9090", 65536, None),
        ("", 8192, None),
    ],
)
def test_found_by_name_and_about_the_memory(name: str, mib: int, found: str | None) -> None:
    gpu = find_gpu(name, mib * MIB)
    assert (gpu.name if gpu else None) == found


def test_a_card_that_reports_no_memory_is_found_by_name_unless_that_means_two() -> None:
    assert find_gpu("NVIDIA GB10", None) is search_gpu("gb10")
    assert find_gpu("NVIDIA GeForce RTX 3080", None) is None


@pytest.mark.parametrize("gpu", gpu_table(), ids=lambda gpu: gpu.label)
def test_every_card_finds_itself(gpu: GpuModel) -> None:
    assert find_gpu(gpu.name, gpu.memory_bytes) is gpu
    assert search_gpu(gpu.label) is gpu


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("rtx 4080", "NVIDIA GeForce RTX 4080 16 GiB"),
        ("RTX4090", "NVIDIA GeForce RTX 4090 24 GiB"),
        ("4070 ti super", "NVIDIA GeForce RTX 4070 Ti SUPER 16 GiB"),
        ("3080 12", "NVIDIA GeForce RTX 3080 12 GiB"),
        ("3080 10 GB", "NVIDIA GeForce RTX 3080 10 GiB"),
        ("5060ti 8gb", "NVIDIA GeForce RTX 5060 Ti 8 GiB"),
        ("h100 sxm", "NVIDIA H100 80GB HBM3 80 GiB"),
        ("a100 sxm 80gb", "NVIDIA A100-SXM4-80GB 80 GiB"),
        ("6000 ada", "NVIDIA RTX 6000 Ada Generation 48 GiB"),
    ],
)
def test_what_operators_type(text: str, label: str) -> None:
    assert search_gpu(text).label == label


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("3080", ["RTX 3080 10 GiB", "RTX 3080 12 GiB"]),
        ("h100", ["H100 PCIe 80 GiB", "H100 80GB HBM3", "H100 NVL"]),
        ("4085", ["4080"]),
        ("", ["known:"]),
        ("80", ["H800"]),
    ],
)
def test_ambiguous_or_unknown_names_list_what_could_be_meant(text: str, listed: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        search_gpu(text)
    for name in listed:
        assert name in str(raised.value)


@given(st.text(max_size=20))
def test_any_text_is_a_card_or_a_clear_error(text: str) -> None:
    try:
        found = search_gpu(text)
    except UsageError:
        return
    assert found in gpu_table()


@pytest.mark.parametrize("gpu", [g for g in gpu_table() if "Instinct" not in g.name], ids=lambda gpu: gpu.label)
def test_a_bounded_stand_in_holds_the_truth_between_its_bounds(gpu: GpuModel) -> None:
    guess = bounded_gpu(gpu.name, gpu.memory_bytes, gpu.compute_capability, gpu.sm_count, gpu.boost_clock_hertz)
    assert guess.bounded
    assert guess.supports_bf16 == gpu.supports_bf16
    low, high = guess.dense_op_per_second / guess.rate_spread, guess.dense_op_per_second * guess.rate_spread
    assert low * 0.999 <= gpu.dense_op_per_second <= high * 1.001
    assert guess.bandwidth_bytes_per_second <= gpu.bandwidth_bytes_per_second


@given(
    st.tuples(st.integers(3, 14), st.integers(0, 9)),
    st.none() | st.integers(1, 300),
    st.none() | st.floats(1e8, 4e9),
)
def test_any_unknown_card_gets_usable_bounds(
    capability: tuple[int, int], sm_count: int | None, clock: float | None
) -> None:
    gpu = bounded_gpu("Graphics Device", 8 * GIB, capability, sm_count, clock)
    assert gpu.dense_op_per_second > 0
    assert gpu.rate_spread >= 1
    assert gpu.supports_fp8 == (gpu.fp8_op_per_second is not None)
    assert "not in the table" in gpu.notes
    assert load_efficiency().of(gpu).matmul > 0


def test_what_nvml_reports_is_always_recognised() -> None:
    assert recognise_gpu("NVIDIA L4", 23034 * MIB, (8, 9)) is search_gpu("l4")
    assert recognise_gpu("NVIDIA L5", 23034 * MIB, (8, 9)).bounded


def test_unknown_sm_count_widens_the_bounds() -> None:
    known = bounded_gpu("Graphics Device", 8 * GIB, (8, 9), 60, 2.5e9)
    assert bounded_gpu("Graphics Device", 8 * GIB, (8, 9)).rate_spread > known.rate_spread


def test_every_generation_has_kernel_shares_and_a_cut_card_comes_closer_to_its_rate() -> None:
    table = load_efficiency()
    for gpu in gpu_table():
        shares = table.of(gpu)
        assert 0 < shares.matmul <= 1
        assert all(0 < shares.attention_share(backend) <= 3 for backend in AttentionBackend)
    h20, h100 = table.of(search_gpu("h20")), table.of(search_gpu("h100 sxm"))
    assert h20.matmul > h100.matmul
    assert h20.attention_share("flash") > h100.attention_share("flash")
