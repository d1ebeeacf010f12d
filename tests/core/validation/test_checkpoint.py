"""Good checkpoints are silent, and each way to damage one is found by its rule."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.validation.checkpoint_parts import (
    EXPERT,
    INDEX,
    OTHER,
    SHARDS,
    TEXT,
    VAE,
    edit_header,
    edit_json,
    edit_map,
    edit_tensors,
    into_hub_cache,
    pack,
    read,
    shard,
    unpack,
    write,
)
from wan_tui.cli.check import check_model
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.errors import WanTuiError
from wan_tui.core.validation import hashes, transformer_file
from wan_tui.core.validation.checkpoint import CODES, check_checkpoint
from wan_tui.core.validation.rulebook import rules

POCKETS = ("t2v-pocket", "i2v-pocket", "ti2v-pocket")
BIAS = "proj_out.bias"
Damage = Callable[[Path], object]


HUGE_HEADER = json.dumps({f"{number:x}": [] for number in range(100_000)}).encode()


def codes(folder: Path, model: str = "t2v-pocket") -> list[str]:
    return [finding.code for finding in check_checkpoint(folder, load_catalogue().find(model))]


def truncate(name: str, size: int) -> Damage:
    return lambda folder: os.truncate(folder / name, size)


def overwrite(name: str, data: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(data)


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def rename(name: str, other: str) -> Damage:
    return lambda folder: (folder / name).rename(folder / other)


def header_length(length: int) -> Damage:
    return lambda folder: (folder / VAE).write_bytes(length.to_bytes(8, "little") + (folder / VAE).read_bytes()[8:])


def raw_header(text: bytes) -> Damage:
    return lambda folder: write(folder / VAE, text, b"")


def double_key(folder: Path) -> None:
    header, body = read(folder / VAE)
    text = json.dumps(header).encode()
    name = b'"quant_conv.bias": '
    entry = text[text.index(name) : text.index(b"}", text.index(name)) + 1]
    write(folder / VAE, text[:-1] + b", " + entry + b"}", body)


def shard_then(step: Damage) -> Damage:
    def damage(folder: Path) -> None:
        shard(folder)
        step(folder)

    return damage


def in_two_shards(folder: Path) -> None:
    tensors, second = unpack(folder / SHARDS[0]), unpack(folder / SHARDS[1])
    name = next(iter(tensors))
    pack(folder / SHARDS[1], {**second, name: tensors[name]})


def link_out(folder: Path) -> None:
    (folder / VAE).rename(folder.parent / "elsewhere")
    (folder / VAE).symlink_to(folder.parent / "elsewhere")


def link_folder_out(folder: Path) -> None:
    (folder / "vae").rename(folder.parent / "elsewhere")
    (folder / "vae").symlink_to(folder.parent / "elsewhere")


def link_loop(folder: Path) -> None:
    (folder / VAE).unlink()
    (folder / VAE).symlink_to("diffusion_pytorch_model.safetensors")


def pipe(folder: Path) -> None:
    (folder / VAE).unlink()
    os.mkfifo(folder / VAE)


def other_vae(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    shutil.copytree(next(folder.parent.glob("ti2v-pocket*")) / "vae", folder / "vae")


def retype(dtype: str, width: int) -> Damage:
    def change(tensors: dict[str, tuple[str, list[int], bytes]]) -> None:
        _, shape, data = tensors[BIAS]
        tensors[BIAS] = (dtype, shape, bytes(len(data) // 2 * width))

    return edit_tensors(EXPERT, change)


def move(name: str, begin: int, end: int) -> Damage:
    def change(header: dict[str, dict[str, list[int]]]) -> None:
        offsets = header[name]["data_offsets"]
        header[name]["data_offsets"] = [offsets[0] + begin, offsets[1] + end]

    return edit_header(VAE, change)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "not a folder": (lambda folder: (shutil.rmtree(folder), folder.write_text("")), "WAN401"),
    "no folder": (shutil.rmtree, "WAN401"),
    "empty folder": (lambda folder: (shutil.rmtree(folder), folder.mkdir()), "WAN401"),
    "no model_index.json": (remove("model_index.json"), "WAN401"),
    "model_index.json is a list": (overwrite("model_index.json", b"[]"), "WAN402"),
    "model_index.json is not JSON": (overwrite("model_index.json", b"{"), "WAN402"),
    "model_index.json is not UTF-8": (overwrite("model_index.json", b'{"a": "\xff"}'), "WAN402"),
    "model_index.json nested deeply": (overwrite("model_index.json", b'{"a":' + b"[" * 100_000), "WAN402"),
    "config.json holds NaN": (overwrite("vae/config.json", b'{"z_dim": NaN}'), "WAN402"),
    "config.json of 5 MB": (overwrite("vae/config.json", b" " * 5_000_000 + b"{}"), "WAN402"),
    "config.json holds an endless number": (overwrite("vae/config.json", b'{"z_dim": ' + b"9" * 9999 + b"}"), "WAN402"),
    "a pipe instead of weights": (pipe, "WAN402"),
    "a link to itself": (link_loop, "WAN402"),
    "index without weight_map": (shard_then(overwrite(INDEX, b"{}")), "WAN402"),
    "shard is a number": (edit_map(lambda mapping: mapping.update({BIAS: 7})), "WAN402"),
    "wrong pipeline class": (edit_json("model_index.json", _class_name="WanImageToVideoPipeline"), "WAN403"),
    "wrong component class": (edit_json("model_index.json", vae=["diffusers", "AutoencoderKL"]), "WAN403"),
    "wrong class in config": (edit_json("vae/config.json", _class_name="AutoencoderKL"), "WAN403"),
    "wrong boundary": (edit_json("model_index.json", boundary_ratio=0.9), "WAN404"),
    "boundary is a list": (edit_json("model_index.json", boundary_ratio=[0.875]), "WAN404"),
    "boundary too large for a float": (edit_json("model_index.json", boundary_ratio=10**999), "WAN404"),
    "wrong expand_timesteps": (edit_json("model_index.json", expand_timesteps=True), "WAN404"),
    "no transformer_2": (edit_json("model_index.json", transformer_2=[None, None]), "WAN405"),
    "no vae": (edit_json("model_index.json", drop_vae=None), "WAN407"),
    "no config.json": (remove("vae/config.json"), "WAN407"),
    "no scheduler": (remove("scheduler/scheduler_config.json"), "WAN407"),
    "config value": (edit_json("transformer/config.json", num_layers=3), "WAN406"),
    "config true for a number": (edit_json("vae/config.json", num_res_blocks=True), "WAN406"),
    "config value missing": (edit_json("transformer/config.json", drop_ffn_dim=None), "WAN406"),
    "latents_mean": (edit_json("vae/config.json", latents_mean=[0.5] * 16), "WAN406"),
    "no weights": (remove(VAE), "WAN408"),
    "missing shard": (shard_then(remove(SHARDS[1])), "WAN408"),
    "link out": (link_out, "WAN409"),
    "folder linked out": (link_folder_out, "WAN409"),
    "'..' in the index": (edit_map(lambda mapping: mapping.update({BIAS: "../x.safetensors"})), "WAN409"),
    "absolute path in the index": (edit_map(lambda mapping: mapping.update({BIAS: "/etc/x.safetensors"})), "WAN409"),
    "pickle instead": (rename(VAE, "vae/diffusion_pytorch_model.bin"), "WAN410"),
    "pickle in the index": (edit_map(lambda mapping: mapping.update({BIAS: "x.bin"})), "WAN410"),
    "pickle beside": (overwrite("vae/old.pt", b""), "WAN411"),
    "pickle in the root": (overwrite("model.ckpt", b""), "WAN411"),
    "truncated": (truncate(VAE, 300_000), "WAN412"),
    "truncated shard": (shard_then(truncate(SHARDS[1], 20_000)), "WAN412"),
    "truncated in the header": (truncate(VAE, 100), "WAN412"),
    "empty file": (truncate(VAE, 0), "WAN412"),
    "header of 4 GB": (header_length(4 << 30), "WAN413"),
    "header of 2**64-1": (header_length(2**64 - 1), "WAN413"),
    "header of 1.3 MB": (raw_header(HUGE_HEADER), "WAN413"),
    "header is not JSON": (raw_header(b"hello"), "WAN413"),
    "header is a list": (raw_header(b"[]"), "WAN413"),
    "header is not UTF-8": (raw_header(b'{"\xff": 1}'), "WAN413"),
    "header nested deeply": (raw_header(b'{"a":' * 50_000), "WAN413"),
    "unknown dtype": (edit_header(VAE, lambda header: header["quant_conv.bias"].update(dtype="F17")), "WAN413"),
    "negative shape": (edit_header(VAE, lambda header: header["quant_conv.bias"].update(shape=[-1])), "WAN413"),
    "duplicate tensor": (double_key, "WAN413"),
    "shape that does not fill": (edit_header(VAE, lambda h: h["quant_conv.bias"].update(shape=[31])), "WAN414"),
    "shape beyond all files": (edit_header(VAE, lambda h: h["quant_conv.bias"].update(shape=[2**62] * 9)), "WAN414"),
    "gap": (move("quant_conv.weight", 8, 8), "WAN414"),
    "overlap": (move("quant_conv.weight", -8, -8), "WAN414"),
    "bytes after the end": (lambda folder: (folder / VAE).open("ab").write(b"more"), "WAN414"),
    "in two shards": (shard_then(in_two_shards), "WAN415"),
    "index disagrees": (edit_map(lambda m: m.update({BIAS: m["blocks.0.attn1.norm_k.weight"]})), "WAN415"),
    "index lists too much": (edit_map(lambda m: m.update(more=m[BIAS])), "WAN415"),
    "missing tensor": (edit_tensors(EXPERT, lambda tensors: tensors.pop(BIAS)), "WAN416"),
    "missing embedding": (edit_tensors(TEXT, lambda tensors: tensors.pop("shared.weight")), "WAN416"),
    "extra tensor": (edit_tensors(EXPERT, lambda tensors: tensors.update(more=("F16", [1], b"00"))), "WAN417"),
    "wrong shape": (edit_tensors(EXPERT, lambda t: t.update({BIAS: ("F16", [32, 2], t[BIAS][2])})), "WAN418"),
    "the VAE of ti2v": (other_vae, "WAN418"),
    "wrong dtype": (retype("I8", 1), "WAN419"),
    "double precision": (retype("F64", 8), "WAN419"),
    "8-bit floats": (retype("F8_E4M3", 1), "WAN420"),
    "both experts the same": (lambda folder: shutil.copy(folder / EXPERT, folder / OTHER), "WAN421"),
    "both experts one file": (
        lambda folder: (remove(OTHER)(folder), os.link(folder / EXPERT, folder / OTHER)),
        "WAN421",
    ),
}


@pytest.mark.parametrize("model", POCKETS)
def test_good_checkpoints_are_silent(good: dict[str, Path], model: str) -> None:
    assert codes(good[model], model) == []


@pytest.mark.parametrize(("damage", "code"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found(good: dict[str, Path], tmp_path: Path, damage: Damage, code: str) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(good["t2v-pocket"], folder)
    (tmp_path / "ti2v-pocket").symlink_to(good["ti2v-pocket"])
    damage(folder)
    found = codes(folder)
    assert code in found
    # Errors come first, and every finding is of a known rule.
    order = [rules()[name].severity for name in found]
    assert order == sorted(order, key=["error", "warning", "info"].index)


def test_every_rule_is_broken_by_a_damage() -> None:
    assert {code for _, code in DAMAGES.values()} == set(CODES)


def test_every_rule_of_the_group_is_of_a_folder_a_file_or_a_checksum() -> None:
    known = {code for code, rule in rules().items() if rule.group == "checkpoint"}
    assert {*CODES, *transformer_file.CODES, *hashes.CODES} == known


def test_a_dense_model_has_no_second_expert(good: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(good["ti2v-pocket"], tmp_path / "dense")
    edit_json("model_index.json", transformer_2=["diffusers", "WanTransformer3DModel"])(tmp_path / "dense")
    assert codes(tmp_path / "dense", "ti2v-pocket") == ["WAN405"]


def test_shards_tied_names_and_absent_defaults_are_fine(good: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(good["t2v-pocket"], folder)
    shard(folder)
    edit_tensors(TEXT, lambda tensors: tensors.update({"encoder.embed_tokens.weight": tensors["shared.weight"]}))(
        folder
    )
    edit_json("vae/config.json", drop_is_residual=None, drop_scale_factor_spatial=None)(folder)
    assert codes(folder) == []
    edit_tensors(TEXT, lambda tensors: tensors.pop("shared.weight"))(folder)
    assert codes(folder) == []


def test_the_hub_cache_links_to_its_blobs(good: dict[str, Path], tmp_path: Path) -> None:
    snapshot = into_hub_cache(good["t2v-pocket"], tmp_path)
    assert codes(snapshot) == []
    (tmp_path / "outside").write_bytes((snapshot / VAE).read_bytes())
    (snapshot / VAE).unlink()
    (snapshot / VAE).symlink_to(tmp_path / "outside")
    assert codes(snapshot) == ["WAN409"]


def test_a_truncated_download_says_how_much_is_there(good: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(good["t2v-pocket"], folder)
    weights = 2 * load_catalogue().find("t2v-pocket").vae.parameters
    os.truncate(folder / VAE, (folder / VAE).stat().st_size - weights + 1000)
    (found,) = check_checkpoint(folder, load_catalogue().find("t2v-pocket"))
    assert (found.code, found.where) == ("WAN412", VAE)
    assert found.message == f"{weights} bytes of weights expected, 1000 present"


def test_the_command(good: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_model("t2v-pocket", good["t2v-pocket"], None, as_json=False) == 0
    assert capsys.readouterr().out.endswith(": valid\n")
    assert check_model("i2v-pocket", good["t2v-pocket"], None, as_json=True) == 1
    facts = json.loads(capsys.readouterr().out)
    assert not facts["valid"]
    assert {"WAN403", "WAN404", "WAN418"} <= {finding["code"] for finding in facts["findings"]}
    with pytest.raises(WanTuiError, match="no checkpoint of t2v-A14B"):
        check_model("t2v-A14B", None, None, as_json=False)
