"""Single transformer files: good ones of either format and layout are silent, each damage is found by its rule."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.validation.transformer_parts import (
    BF16,
    F32,
    Q8,
    Arrays,
    arrays,
    bare_gguf,
    matrices,
    write_gguf,
    write_safetensors,
    write_true_size_gguf,
    write_true_size_safetensors,
)
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.original_names import PREFIX
from wan_tui.core.validation.rulebook import rules
from wan_tui.core.validation.transformer_file import CODES, check_transformer_file

POCKETS = ("t2v-pocket", "i2v-pocket", "ti2v-pocket")
PUBLISHED = ("t2v-A14B", "i2v-A14B", "ti2v-5B")
POCKET = load_catalogue().find("ti2v-pocket")
HEAD = "head.head.bias"
Damage = Callable[[Path], Path]


def codes(path: Path, model: str = "ti2v-pocket") -> list[str]:
    return [finding.code for finding in check_transformer_file(path, load_catalogue().find(model))]


def safetensors(change: Callable[[Arrays], object], *, original: bool = True) -> Damage:
    def damage(folder: Path) -> Path:
        tensors = arrays(POCKET, original=original)
        change(tensors)
        return write_safetensors(folder / "model.safetensors", tensors)

    return damage


def quantised(change: Callable[[Arrays], object]) -> Damage:
    def damage(folder: Path) -> Path:
        tensors = arrays(POCKET)
        change(tensors)
        return write_gguf(folder / "model.gguf", tensors)

    return damage


def nothing(_: object) -> None:
    pass


def named(name: str) -> Damage:
    return lambda folder: safetensors(nothing)(folder).rename(folder / name)


def raw(name: str, data: bytes) -> Damage:
    def damage(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return damage


def shortened(make: Damage, size: int) -> Damage:
    def damage(folder: Path) -> Path:
        path = make(folder)
        os.truncate(path, size if size > 0 else path.stat().st_size + size)
        return path

    return damage


def retyped(dtype: type[np.generic]) -> Damage:
    return safetensors(lambda tensors: tensors.update({HEAD: tensors[HEAD].astype(dtype)}))


def kinds(kind: Callable[[str, tuple[int, ...]], gguf.GGMLQuantizationType], architecture: str = "wan") -> Damage:
    return lambda folder: write_gguf(folder / "model.gguf", arrays(POCKET), kind, architecture)


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "model.gguf")
    return folder / "model.gguf"


def a_folder(folder: Path) -> Path:
    (folder / "model.gguf").mkdir()
    return folder / "model.gguf"


def linked_nowhere(folder: Path) -> Path:
    (folder / "model.gguf").symlink_to("model.gguf")
    return folder / "model.gguf"


def of_two_layouts(tensors: Arrays) -> None:
    tensors["condition_embedder.time_proj.bias"] = tensors.pop("time_projection.1.bias")


def with_scales(tensors: Arrays) -> None:
    tensors["scaled_fp8"] = np.zeros(2, np.float16)
    tensors["blocks.0.self_attn.q.scale_weight"] = np.ones(1, np.float16)


def folded(tensors: Arrays) -> None:
    weight = tensors["patch_embedding.weight"]
    tensors["patch_embedding.weight"] = weight.reshape(-1, *weight.shape[2:])


DAMAGES: dict[str, tuple[Damage, str]] = {
    "pickle": (named("model.pth"), "WAN410"),
    "pickle in capitals": (named("MODEL.CKPT"), "WAN410"),
    "another suffix": (named("model.onnx"), "WAN422"),
    "no suffix": (named("model"), "WAN422"),
    "no such file": (lambda folder: folder / "none.gguf", "WAN422"),
    "a pipe": (pipe, "WAN422"),
    "a link to itself": (linked_nowhere, "WAN422"),
    "a folder": (a_folder, "WAN422"),
    "a name with a null": (lambda folder: folder / "a\0.gguf", "WAN422"),
    "truncated safetensors": (shortened(safetensors(nothing), -1), "WAN412"),
    "truncated header": (shortened(safetensors(nothing), 100), "WAN412"),
    "truncated GGUF": (shortened(quantised(nothing), -100), "WAN412"),
    "truncated GGUF header": (shortened(quantised(nothing), 100), "WAN412"),
    "GGUF named safetensors": (lambda folder: quantised(nothing)(folder).rename(folder / "a.safetensors"), "WAN413"),
    "safetensors named GGUF": (lambda folder: safetensors(nothing)(folder).rename(folder / "a.gguf"), "WAN413"),
    "a page instead of weights": (raw("model.gguf", b"<html>not found</html>"), "WAN413"),
    "one name with and without prefix": (
        safetensors(lambda tensors: tensors.update({PREFIX + HEAD: tensors[HEAD]})),
        "WAN413",
    ),
    "bytes after the end": (raw("model.gguf", bare_gguf(data=96)), "WAN414"),
    "missing tensor": (safetensors(lambda tensors: tensors.pop(HEAD)), "WAN416"),
    "missing tensor, diffusers": (safetensors(lambda tensors: tensors.pop("proj_out.bias"), original=False), "WAN416"),
    "missing tensor in GGUF": (quantised(lambda tensors: tensors.pop("blocks.1.modulation")), "WAN416"),
    "no tensors": (raw("model.gguf", bare_gguf([], data=0)), "WAN416"),
    "two layouts in one": (safetensors(of_two_layouts), "WAN416"),
    "extra tensor": (safetensors(lambda tensors: tensors.update(more=tensors[HEAD])), "WAN417"),
    "extra tensor in GGUF": (quantised(lambda tensors: tensors.update({"more.bias": tensors[HEAD]})), "WAN417"),
    "wrong shape": (safetensors(lambda tensors: tensors.update({HEAD: tensors[HEAD][:-1]})), "WAN418"),
    "wrong shape in GGUF": (quantised(lambda tensors: tensors.update({HEAD: tensors[HEAD][:-1]})), "WAN418"),
    "convolution folded to four dimensions": (quantised(folded), "WAN418"),
    "I64": (retyped(np.int64), "WAN419"),
    "F64": (retyped(np.float64), "WAN419"),
    "wrong version": (raw("model.gguf", bare_gguf(version=1)), "WAN423"),
    "another architecture": (kinds(matrices(Q8), "flux"), "WAN423"),
    "a quantisation that the loader lacks": (kinds(matrices(gguf.GGMLQuantizationType.MXFP4)), "WAN424"),
    "a quantised bias": (kinds(lambda name, _: BF16 if name == HEAD else F32), "WAN424"),
    "a quantised convolution": (kinds(lambda name, _: BF16 if name.startswith("patch") else F32), "WAN424"),
    "scales of 8-bit floats": (safetensors(with_scales), "WAN425"),
}


@pytest.mark.parametrize("original", [True, False], ids=["original", "diffusers"])
@pytest.mark.parametrize("model", POCKETS)
def test_good_files_are_silent_but_for_the_expert(model: str, original: bool, tmp_path: Path) -> None:
    found = load_catalogue().find(model)
    note = ["WAN426"] if found.experts == 2 else []
    tensors = arrays(found, original=original)
    assert codes(write_safetensors(tmp_path / "model.safetensors", tensors), model) == note
    assert codes(write_gguf(tmp_path / "model.gguf", tensors), model) == note


@pytest.mark.parametrize(("damage", "code"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found(tmp_path: Path, damage: Damage, code: str) -> None:
    found = codes(damage(tmp_path))
    assert code in found
    order = [rules()[name].severity for name in found]
    assert order == sorted(order, key=["error", "warning", "info"].index)


def test_every_rule_of_single_files_is_broken_by_a_damage() -> None:
    # WAN420 and WAN426 are no damage.
    assert {code for _, code in DAMAGES.values()} == set(CODES) - {"WAN420", "WAN426"}


def test_a_repackaged_file_with_a_prefix_is_fine(tmp_path: Path) -> None:
    assert codes(write_safetensors(tmp_path / "model.safetensors", arrays(POCKET, prefix=PREFIX))) == []


@pytest.mark.parametrize("kind", [BF16, Q8, gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.F16])
def test_quantised_matrices_are_fine(tmp_path: Path, kind: gguf.GGMLQuantizationType) -> None:
    assert codes(kinds(matrices(kind))(tmp_path)) == []


def test_what_the_loader_widens_at_once_may_be_quantised(tmp_path: Path) -> None:
    assert codes(kinds(lambda name, _: BF16 if name.endswith("modulation") else F32)(tmp_path)) == []


def test_a_link_is_judged_by_its_target(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = quantised(nothing)(tmp_path / "elsewhere").rename(tmp_path / "elsewhere" / "blob")
    (tmp_path / "link.gguf").symlink_to(target)
    assert codes(tmp_path / "link.gguf") == []


def test_names_are_those_of_the_file(tmp_path: Path) -> None:
    path = safetensors(lambda tensors: tensors.pop(HEAD))(tmp_path)
    (found,) = check_transformer_file(path, POCKET)
    assert (found.where, found.message) == ("model.safetensors", f"1 of 96 tensors missing: {HEAD}")


@pytest.mark.parametrize("model", PUBLISHED)
def test_true_sizes_are_judged_from_headers(model: str, tmp_path: Path) -> None:
    found = load_catalogue().find(model)
    note = ["WAN426"] if found.experts == 2 else []
    files = [
        write_true_size_gguf(tmp_path / "model.gguf", found, gguf.GGMLQuantizationType.Q6_K),
        write_true_size_safetensors(tmp_path / "original.safetensors", found),
        write_true_size_safetensors(tmp_path / "diffusers.safetensors", found, original=False),
    ]
    for file in files:
        assert file.stat().st_size > 4_000_000_000
        before = bytes_read()
        begin = time.perf_counter()
        assert codes(file, model) == note
        assert time.perf_counter() - begin < 2
        assert bytes_read() - before < 1_000_000
        # And a file of one model is none of another.
        for other in set(PUBLISHED) - {model}:
            assert "WAN418" in codes(file, other)


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


@settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(["fuzz.gguf", "fuzz.safetensors", "fuzz.bin"]),
    start=st.binary(max_size=64) | st.none(),
    changes=st.lists(st.tuples(st.integers(0, 8000), st.binary(min_size=1, max_size=8)), max_size=4),
)
def test_any_mutation_gives_findings(
    mutable: dict[str, bytes], tmp_path: Path, name: str, start: bytes | None, changes: list[tuple[int, bytes]]
) -> None:
    data = bytearray(start if start is not None else mutable[name.partition(".")[2]])
    for place, new in changes:
        data[place : place + len(new)] = new
    (tmp_path / name).write_bytes(data)
    begin = time.perf_counter()
    for found in check_transformer_file(tmp_path / name, POCKET):
        f"{found.where} {found.message}".encode()
        assert len(found.message) < 1000
    assert time.perf_counter() - begin < 2


@pytest.fixture(scope="module")
def mutable(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("mutable")
    return {
        "gguf": quantised(nothing)(folder).read_bytes(),
        "safetensors": safetensors(nothing)(folder).read_bytes(),
        "bin": b"",
    }
