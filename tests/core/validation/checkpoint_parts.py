"""Good checkpoints, and tools to damage copies of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wan_tui.core.catalog import Component, Model
from wan_tui.core.catalog.tensors import ALIASES, expected_tensors

VAE = "vae/diffusion_pytorch_model.safetensors"
EXPERT = "transformer/diffusion_pytorch_model.safetensors"
OTHER = "transformer_2/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"
INDEX = "transformer/diffusion_pytorch_model.safetensors.index.json"
SHARDS = tuple(f"transformer/diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2))

Header = dict[str, Any]


def read(path: Path) -> tuple[Header, bytes]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write(path: Path, header: Header | bytes, body: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def edit_header(name: str, change: Callable[[Header], object]) -> Callable[[Path], None]:
    """A damage that changes the header of file ``name`` and leaves its weights."""

    def damage(folder: Path) -> None:
        header, body = read(folder / name)
        change(header)
        write(folder / name, header, body)

    return damage


def edit_tensors(name: str, change: Callable[[dict[str, tuple[str, list[int], bytes]]], object]) -> Callable[..., None]:
    """A damage that changes tensors (dtype, shape, bytes) and writes a well-formed file again."""

    def damage(folder: Path) -> None:
        tensors = unpack(folder / name)
        change(tensors)
        pack(folder / name, tensors)

    return damage


def unpack(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    header, body = read(path)
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])]) for name, entry in header.items()
    }


def pack(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> None:
    header, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    write(path, header, body)


def edit_json(name: str, **values: Any) -> Callable[[Path], None]:
    """A damage that sets values in a JSON file; None as value of ``drop_…`` removes the key."""

    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        for key, value in values.items():
            if key.startswith("drop_"):
                del content[key.removeprefix("drop_")]
            else:
                content[key] = value
        (folder / name).write_text(json.dumps(content))

    return damage


def shard(folder: Path) -> None:
    """Split the first expert in two shards with an index, as large models are published."""
    tensors = unpack(folder / EXPERT)
    names = list(tensors)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    mapping = {}
    for path, half in zip(SHARDS, halves, strict=True):
        pack(folder / path, {name: tensors[name] for name in half})
        mapping |= {name: path.rpartition("/")[2] for name in half}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": mapping}))
    (folder / EXPERT).unlink()


def edit_map(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """A damage that shards the first expert and changes the weight_map of its index."""

    def damage(folder: Path) -> None:
        shard(folder)
        index = json.loads((folder / INDEX).read_text())
        change(index["weight_map"])
        (folder / INDEX).write_text(json.dumps(index))

    return damage


def into_hub_cache(folder: Path, cache: Path) -> Path:
    """The same checkpoint as the Hugging Face cache stores it: links from snapshots to blobs."""
    repository = cache / "models--wan-tui--pocket"
    snapshot = repository / "snapshots" / "0123abc"
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        (repository / "blobs" / f"{number:040x}").write_bytes(path.read_bytes())
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        depth = len(path.relative_to(folder).parts) + 1
        link.symlink_to(Path(*[".."] * depth, "blobs", f"{number:040x}"))
    return snapshot


def write_true_size(folder: Path, model: Model) -> Path:
    """A checkpoint of ``model`` in bf16 at its true size, of which only headers and a few bytes take space."""
    folder.mkdir(exist_ok=True)
    entries: dict[str, object] = {
        "_class_name": "WanPipeline",
        "boundary_ratio": model.boundary_ratio,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
    }
    for role, component in model.components:
        library = "transformers" if role == "text_encoder" else "diffusers"
        entries[role] = [library, component.class_name]
        (folder / role).mkdir()
        (folder / role / "config.json").write_text(json.dumps(dict(component.config)))
        _write_sparse(folder / role, component, mark=role.encode())
    for role, name in (("scheduler", "scheduler_config.json"), ("tokenizer", "tokenizer_config.json")):
        (folder / role).mkdir()
        (folder / role / name).write_text("{}")
    (folder / "model_index.json").write_text(json.dumps(entries))
    return folder


def _write_sparse(folder: Path, component: Component, mark: bytes) -> None:
    aliases = ALIASES.get(component.class_name, {})
    base = "model" if component.class_name == "UMT5EncoderModel" else "diffusion_pytorch_model"
    shards: list[dict[str, Any]] = [{}]
    reached = 0
    for name, shape in expected_tensors(component).items():
        size = 2
        for extent in shape:
            size *= extent
        if name in aliases:
            continue
        if reached + size > 5_000_000_000:
            shards.append({})
            reached = 0
        shards[-1][name] = {"dtype": "BF16", "shape": shape, "data_offsets": [reached, reached + size]}
        reached += size
    mapping = {}
    for number, header in enumerate(shards, 1):
        path = folder / f"{base}-{number:05}-of-{len(shards):05}.safetensors"
        write(path, header, mark)
        start = path.stat().st_size - len(mark)
        with path.open("r+b") as file:
            file.truncate(start + max(entry["data_offsets"][1] for entry in header.values()))
        mapping |= dict.fromkeys(header, path.name)
    if len(shards) > 1:
        (folder / f"{base}.safetensors.index.json").write_text(json.dumps({"weight_map": mapping}))
    else:
        path.rename(folder / f"{base}.safetensors")
