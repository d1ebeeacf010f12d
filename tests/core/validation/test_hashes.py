"""Weight files against the SHA-256 that was recorded of them, wherever a download leaves it."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.validation.checkpoint_parts import EXPERT, OTHER, TEXT, VAE
from wan_tui.core.validation.hashes import check_hashes
from wan_tui.core.validation.rulebook import rules

WEIGHTS = (TEXT, EXPERT, OTHER, VAE)
Record = Callable[[Path], Path]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def codes(path: Path) -> list[str]:
    return [finding.code for finding in check_hashes(path)]


def damage(path: Path) -> None:
    """One bit, which no header knows of."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def hub_cache(folder: Path) -> Path:
    """As the hub cache stores it: weights as blobs named by their hash, links in the snapshot."""
    repository = folder.parent / "models--wan-tui--pocket"
    snapshot = repository / "snapshots" / "0123abc"
    shutil.copytree(folder, snapshot)
    (repository / "blobs").mkdir()
    for name in WEIGHTS:
        blob = repository / "blobs" / digest(snapshot / name)
        (snapshot / name).rename(blob)
        (snapshot / name).symlink_to(os.path.relpath(blob, (snapshot / name).parent))
    return snapshot


def local_directory(folder: Path) -> Path:
    """As ``hf download --local-dir`` leaves it."""
    for name in WEIGHTS:
        note = folder / ".cache" / "huggingface" / "download" / f"{name}.metadata"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"0123abc\n{digest(folder / name)}\n1700000000.0\n")
    return folder


def sums_in_the_root(folder: Path) -> Path:
    lines = [f"{digest(folder / name)}  {name}\n" for name in WEIGHTS]
    (folder / "SHA256SUMS").write_text("# made by sha256sum\n" + "".join(lines))
    return folder


def sums_beside(folder: Path) -> Path:
    for name in WEIGHTS:
        path = folder / name
        (path.parent / "SHA256SUMS").write_text(f"{digest(path).upper()} *{path.name}\n")
    return folder


def one_file_each(folder: Path) -> Path:
    for number, name in enumerate(WEIGHTS):
        path = folder / name
        line = digest(path) if number % 2 else f"{digest(path)}  {path.name}"
        path.with_name(f"{path.name}.sha256").write_text(f"{line}\n")
    return folder


RECORDS: dict[str, Record] = {
    "hub cache": hub_cache,
    "local directory": local_directory,
    "SHA256SUMS": sums_in_the_root,
    "SHA256SUMS in each folder": sums_beside,
    "a .sha256 each": one_file_each,
}


@pytest.fixture
def folder(good: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(good["t2v-pocket"], tmp_path / "checkpoint"))


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_what_is_as_recorded_is_silent(folder: Path, record: Record) -> None:
    assert codes(record(folder)) == []


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_flipped_bit_is_found(folder: Path, record: Record) -> None:
    path = record(folder)
    recorded = digest(path / VAE)
    damage(path / VAE)
    (found,) = check_hashes(path)
    assert (found.code, found.where) == ("WAN427", VAE)
    assert found.message == f"its SHA-256 begins with {digest(path / VAE)[:12]}, the recorded one with {recorded[:12]}"
    assert found.fix == rules()["WAN427"].fix == "delete this file and download it again"


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_single_file(folder: Path, record: Record) -> None:
    path = record(folder) / VAE
    if record is sums_in_the_root:
        assert codes(path) == ["WAN428"]  # only what lies beside the file speaks of it
        return
    assert codes(path) == []
    damage(path)
    assert codes(path) == ["WAN427"]


def test_a_link_to_a_file_with_a_record(folder: Path, tmp_path: Path) -> None:
    local_directory(folder)
    (tmp_path / "link.safetensors").symlink_to(folder / VAE)
    assert codes(tmp_path / "link.safetensors") == []


def test_without_a_record_there_is_a_note(folder: Path) -> None:
    assert codes(folder) == ["WAN428"] * 4
    assert rules()["WAN428"].severity == "info"
    assert codes(folder / VAE) == ["WAN428"]
    # The etag of a small file is no SHA-256, and says nothing.
    note = folder / ".cache" / "huggingface" / "download" / f"{VAE}.metadata"
    note.parent.mkdir(parents=True)
    note.write_text("0123abc\n0123456789012345678901234567890123456789\n1700000000.0\n")
    assert codes(folder / VAE) == ["WAN428"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{hash}  ../checkpoint/vae/diffusion_pytorch_model.safetensors", ["WAN429"]),
        ("{hash}  /etc/passwd", ["WAN429"]),
        ("{hash}", ["WAN429"]),
        ("hello", ["WAN429"]),
        ("{hash}" + " " * 200_000, ["WAN429"]),
        ("0{hash}  vae/diffusion_pytorch_model.safetensors", ["WAN429"]),
        ("{hash}  vae/other.safetensors", []),
    ],
    ids=["parent", "absolute", "no name", "no hash", "blanks", "hash of 65 digits", "a file that is not there"],
)
def test_lines_of_sha256sums_that_are_ignored(folder: Path, line: str, found: list[str]) -> None:
    (folder / "SHA256SUMS").write_text(line.replace("{hash}", "0" * 64) + "\n")
    assert codes(folder) == found + ["WAN428"] * 4


def test_records_that_are_no_text_say_nothing(folder: Path) -> None:
    (folder / "SHA256SUMS").mkdir()
    os.mkfifo(folder / f"{VAE}.sha256")
    (folder / f"{TEXT}.sha256").write_bytes(b"\xff" * 100)
    assert sorted(codes(folder)) == ["WAN428"] * 4 + ["WAN429"]


def test_a_link_out_of_the_folder_is_not_read(folder: Path, tmp_path: Path) -> None:
    sums_in_the_root(folder)
    (folder / VAE).rename(tmp_path / "elsewhere")
    (folder / VAE).symlink_to(tmp_path / "elsewhere")
    assert codes(folder) == ["WAN409"]


def test_what_cannot_be_read_is_a_finding(folder: Path, tmp_path: Path) -> None:
    assert codes(tmp_path / "none.gguf") == ["WAN422"]
    assert codes(tmp_path / "a\0.gguf") == ["WAN422"]
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "pipe.gguf.sha256").write_text("0" * 64)
    assert codes(tmp_path / "pipe.gguf") == ["WAN422"]
    (folder / VAE).unlink()
    os.mkfifo(folder / VAE)
    assert codes(folder) == ["WAN402"] + ["WAN428"] * 3


def test_progress_ends_at_the_whole(folder: Path) -> None:
    sums_in_the_root(folder)
    told: list[tuple[int, int]] = []
    check_hashes(folder, lambda done, total: told.append((done, total)))
    size = sum((folder / name).stat().st_size for name in WEIGHTS)
    assert told[-1] == (size, size)
    assert told == sorted(told)
    # What has no record is not read, and does not count.
    (folder / "SHA256SUMS").unlink()
    told.clear()
    check_hashes(folder, lambda done, total: told.append((done, total)))
    assert told == []
