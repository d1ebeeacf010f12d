"""GGUF headers: what the real writer writes is read, what is wrong is named, and nothing costs much."""

import struct
import time
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.validation.transformer_parts import (
    ARCHITECTURE,
    ONE,
    TWO,
    Info,
    arrays,
    bare_gguf,
    entry,
    text,
    write_gguf,
    write_true_size_gguf,
)
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.validation import gguf_header
from wan_tui.core.validation.gguf_header import GGUF_LIMIT_BYTES, TYPES, read_gguf_header
from wan_tui.core.validation.safetensors_header import Fault, Tensor, read_regular

POCKET = load_catalogue().find("t2v-pocket")
GARBAGE = settings(
    max_examples=400,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def alignment(value: int, kind: int = 4) -> bytes:
    return entry(b"general.alignment", kind, struct.pack("<I", value))


def array(kind: int, count: int, data: bytes = b"") -> bytes:
    return entry(b"tags", 9, struct.pack("<IQ", kind, count) + data)


DAMAGES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "WAN412"),
    "bad magic": (bare_gguf(magic=b"GGML"), "WAN413"),
    "version 1": (bare_gguf(version=1), "WAN423"),
    "version 4": (bare_gguf(version=4), "WAN423"),
    "big-endian": (bare_gguf(version=3 << 24), "WAN423"),
    "4 GB tensors": (bare_gguf(tensor_count=4 << 30), "WAN413"),
    "2**64-1 tensors": (bare_gguf(tensor_count=2**64 - 1), "WAN413"),
    "4 GB entries": (bare_gguf(entry_count=4 << 30), "WAN413"),
    "more tensors than there are": (bare_gguf(tensor_count=9000), "WAN413"),
    "key of 4 GB": (bare_gguf(entries=[struct.pack("<Q", 4 << 30)], entry_count=1), "WAN413"),
    "key given twice": (bare_gguf(entries=[ARCHITECTURE, ARCHITECTURE]), "WAN413"),
    "key is not UTF-8": (bare_gguf(entries=[entry(b"\xff", 4, bytes(4))]), "WAN413"),
    "unknown metadata type": (bare_gguf(entries=[entry(b"tags", 13, bytes(4))]), "WAN413"),
    "arrays in arrays": (bare_gguf(entries=[array(9, 1, bytes(12))]), "WAN413"),
    "array of 4 GB": (bare_gguf(entries=[array(4, 1 << 30)]), "WAN412"),
    "array of 2**64-1 texts": (bare_gguf(entries=[array(8, 2**64 - 1, bytes(5 << 20))]), "WAN413"),
    "text of 4 GB": (bare_gguf(entries=[entry(b"tags", 8, struct.pack("<Q", 4 << 30))]), "WAN412"),
    "array of 5 MB": (bare_gguf(entries=[array(0, 5 << 20, bytes(5 << 20))]), "WAN413"),
    "architecture is a number": (bare_gguf(entries=[entry(b"general.architecture", 4, bytes(4))]), "WAN413"),
    "alignment 0": (bare_gguf(entries=[alignment(0)]), "WAN413"),
    "alignment 24": (bare_gguf(entries=[alignment(24)]), "WAN413"),
    "alignment 2**31": (bare_gguf(entries=[alignment(1 << 31)]), "WAN413"),
    "alignment is a float": (bare_gguf(entries=[alignment(32, kind=6)]), "WAN413"),
    "duplicate tensor": (bare_gguf([ONE, replace(TWO, name=b"one")]), "WAN413"),
    "name of 1 kB": (bare_gguf([replace(ONE, name=b"n" * 1024), TWO]), "WAN413"),
    "name is not UTF-8": (bare_gguf([replace(ONE, name=b"\xff"), TWO]), "WAN413"),
    "no dimensions": (bare_gguf([replace(ONE, sizes=[]), TWO]), "WAN413"),
    "nine dimensions": (bare_gguf([replace(ONE, sizes=[1] * 9), TWO]), "WAN413"),
    "a dimension of 0": (bare_gguf([replace(ONE, sizes=[0]), TWO]), "WAN413"),
    "a shape beyond all files": (bare_gguf([ONE, replace(TWO, sizes=[2**62, 2**62])]), "WAN413"),
    "unknown ggml type": (bare_gguf([ONE, replace(TWO, kind=99)]), "WAN413"),
    "removed ggml type": (bare_gguf([ONE, replace(TWO, kind=4)]), "WAN413"),
    "rows that are no whole blocks": (bare_gguf([ONE, replace(TWO, kind=8)]), "WAN414"),
    "unaligned offset": (bare_gguf([ONE, replace(TWO, begin=40)]), "WAN414"),
    "offset for another alignment": (bare_gguf(entries=[alignment(64)], data=96), "WAN414"),
    "overlap": (bare_gguf([replace(ONE, sizes=[16]), TWO]), "WAN414"),
    "gap": (bare_gguf([ONE, replace(TWO, begin=64)], data=96), "WAN414"),
    "bytes after the end": (bare_gguf(data=65), "WAN414"),
    "truncated in the weights": (bare_gguf(data=63), "WAN412"),
    "no weights": (bare_gguf(data=0), "WAN412"),
    "truncated in the header": (bare_gguf(data=0)[:100], "WAN412"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.mark.parametrize(("data", "code"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found_at_once(file: Path, data: bytes, code: str) -> None:
    file.write_bytes(data)
    begin = time.perf_counter()
    with pytest.raises(Fault) as raised:
        read_gguf_header(file)
    assert raised.value.code == code
    assert len(raised.value.message) < 300
    assert time.perf_counter() - begin < 2


def test_shapes_are_turned_and_padding_may_be_missing(file: Path) -> None:
    last = Info(name=b"last", sizes=[2], begin=64)
    for data in (72, 96):
        file.write_bytes(bare_gguf([ONE, TWO, last], data=data))
        header = read_gguf_header(file)
        assert header.architecture == "wan"
        assert header.tensors["two"] == Tensor("F32", (2, 4))
    file.write_bytes(bare_gguf([TWO, ONE], version=2, entries=[]))
    assert list(read_gguf_header(file).tensors) == ["two", "one"]
    assert read_gguf_header(file).architecture is None


def test_the_types_are_those_of_the_reference() -> None:
    assert {
        number: (gguf.GGMLQuantizationType(number).name, *gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(number)])
        for number in TYPES
    } == dict(TYPES)
    assert set(gguf.GGML_QUANT_SIZES) <= {gguf.GGMLQuantizationType(number) for number in TYPES}


def test_a_file_of_the_real_writer_is_read_as_the_real_reader_reads_it(file: Path) -> None:
    write_gguf(file, arrays(POCKET))
    reader = gguf.GGUFReader(file)
    assert read_gguf_header(file).tensors == {
        tensor.name: Tensor(tensor.tensor_type.name, tuple(int(size) for size in reversed(tensor.shape)))
        for tensor in reader.tensors
    }
    assert read_gguf_header(file).start == reader.data_offset


def test_another_alignment_of_the_real_writer(file: Path) -> None:
    writer = gguf.GGUFWriter(file, "wan")
    writer.add_custom_alignment(256)
    for name, array in arrays(POCKET).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert read_gguf_header(file).start % 256 == 0


@pytest.mark.parametrize("model", ["t2v-A14B", "i2v-A14B", "ti2v-5B"])
def test_a_true_size_is_read_from_its_first_bytes(file: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_true_size_gguf(file, load_catalogue().find(model), gguf.GGMLQuantizationType.Q4_K)
    read = 0

    def counted(path: Path, start: int, length: int) -> tuple[bytes, int]:
        nonlocal read
        data, size = read_regular(path, start, length)
        read += len(data)
        return data, size

    monkeypatch.setattr(gguf_header, "read_regular", counted)
    header = read_gguf_header(file)
    assert header.size > 2_000_000_000
    assert header.start < 100_000
    assert read < 200_000


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "good.gguf", arrays(POCKET)).read_bytes()


def judge(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    begin = time.perf_counter()
    fault = None
    try:
        read_gguf_header(file)
    except Fault as caught:
        fault = caught
    assert fault is None or (fault.code in ("WAN412", "WAN413", "WAN414", "WAN423") and fault.message.isascii())
    assert time.perf_counter() - begin < 2


@GARBAGE
@given(data=st.binary(max_size=300), counts=st.none() | st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)))
def test_any_bytes(file: Path, data: bytes, counts: tuple[int, int] | None) -> None:
    judge(file, data)
    judge(file, b"GGUF" + struct.pack("<IQQ", 3, *(counts or (3, 3))) + data)


@GARBAGE
@given(changes=st.lists(st.tuples(st.integers(0, 7000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_any_mutation(file: Path, good: bytes, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(good)
    for place, new in changes:
        data[place : place + len(new)] = new
    judge(file, bytes(data))


@GARBAGE
@given(
    entries=st.lists(
        st.builds(entry, st.binary(max_size=4) | st.just(b"general.alignment"), st.integers(0, 14), st.binary())
    ),
    infos=st.lists(
        st.builds(
            Info,
            name=st.binary(max_size=3),
            sizes=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 64), max_size=5),
            kind=st.integers(0, 42),
            begin=st.integers(0, 2**64 - 1) | st.sampled_from([0, 32, 64]),
        ),
        max_size=4,
    ),
)
def test_any_records(file: Path, entries: list[bytes], infos: list[Info]) -> None:
    judge(file, bare_gguf(infos, entries))


def test_a_long_header_of_nothing_ends_soon(file: Path) -> None:
    # The slowest way to the limit: as many empty texts as it has room for.
    judge(file, bare_gguf(entries=[array(8, 2**40, text(b"") * (GGUF_LIMIT_BYTES // 8))]))
