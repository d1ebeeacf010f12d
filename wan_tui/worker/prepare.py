"""``python -m wan_tui.worker.prepare``: a checkpoint once more, in the number format in which it will be computed.

Weights stream from file to file in pieces, so memory stays small whatever the model. Every finished file is recorded
with its SHA-256; a run that was interrupted goes on behind the last one. All happens in a ``.part`` folder, which gets
its name when it is whole and has been checked.

A JSON job comes on standard input, progress goes to standard output, one JSON object a line.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from wan_tui import __version__
from wan_tui.core.catalog import Component, Model, load_catalogue
from wan_tui.core.catalog.prepared import FORMAT, RECORD
from wan_tui.core.units import format_bytes
from wan_tui.core.validation.checkpoint import check_checkpoint
from wan_tui.core.validation.checkpoint_files import CheckpointFolder
from wan_tui.core.validation.safetensors_header import Fault
from wan_tui.core.validation.tensor_comparison import PICKLES
from wan_tui.core.words import Preparation, Severity
from wan_tui.worker.formats import prepared_formats
from wan_tui.worker.rewriting import Rewriting, sha256_of

# Left free on the disk beside what is written.
MARGIN_BYTES = 512 << 20
SUMS = "SHA256SUMS"
_PROGRESS = "progress.json"
_SIDE_FOLDERS = ("scheduler", "tokenizer")

Tell = Callable[[dict[str, Any]], None]


class PrepareError(Exception):
    """Preparing stopped for a reason that the operator can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareJob:
    """Write ``source``, a checkpoint of ``model``, in ``precision`` to ``output``, which must not exist yet."""

    model: str
    precision: str
    source: str
    output: str


def prepare(model: Model, job: PrepareJob, tell: Tell) -> dict[str, Any]:
    """Do the job, or what is left of it; returns the record of the prepared checkpoint. Raises PrepareError."""
    return _Preparing(model, job, tell).run()


class _Preparing:
    def __init__(self, model: Model, job: PrepareJob, tell: Tell) -> None:
        self._model = model
        self._precision = Preparation(job.precision)
        self._source, self._output = Path(job.source), Path(job.output)
        self._part = self._output.with_name(f"{self._output.name}.part")
        self._tell = tell
        self._done: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, Any]:
        if self._output.exists():
            raise PrepareError(f"{self._output} exists: remove it to prepare again")
        self._refuse_faulty(self._source, "cannot be prepared")
        files = CheckpointFolder.open(self._source)
        work = list(self._weights(files))
        self._part.mkdir(parents=True, exist_ok=True)
        with _only_one(self._part):
            self._resume(work)
            self._check_space(work)
            self._copy_side_files(files)
            self._write(work)
            record = self._finish()
        return record

    def _refuse_faulty(self, folder: Path, what: str) -> None:
        errors = [one for one in check_checkpoint(folder, self._model) if one.severity is Severity.ERROR]
        if errors:
            first, more = errors[0], f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise PrepareError(f"{folder} {what}: {first.code} {first.where}: {first.message}{more}")

    def _weights(self, files: CheckpointFolder) -> Iterator[tuple[str, Rewriting]]:
        """Each weight file by its name in the checkpoint, with what is to become of it."""
        for role, component in self._model.components:
            for name in self._loaded_files(files, role, component):
                path = files.file(f"{role}/{name}")
                assert path is not None, "a checkpoint without it has been refused"
                rewriting = Rewriting.read(path)
                formats = prepared_formats(component, self._precision, rewriting.names)
                yield f"{role}/{name}", rewriting.into(formats)

    @staticmethod
    def _loaded_files(files: CheckpointFolder, role: str, component: Component) -> list[str]:
        base = "model" if component.class_name == "UMT5EncoderModel" else "diffusion_pytorch_model"
        index = files.json(f"{role}/{base}.safetensors.index.json")
        single = f"{base}.safetensors"
        if index is None or (base == "model" and single in files.names(role)):
            return [single]
        return sorted(set(index["weight_map"].values()))

    def _resume(self, work: list[tuple[str, Rewriting]]) -> None:
        """Keep the files of an earlier run that are whole and made from what the source still holds."""
        try:
            progress = json.loads((self._part / _PROGRESS).read_bytes())
        except (OSError, ValueError):
            return
        if progress.get("made") != self._identity():
            return
        for name, rewriting in work:
            entry = progress["files"].get(name)
            if entry is None or entry["source"] != rewriting.signature:
                continue
            self._tell({"stage": f"verify {name}"})
            if _holds(self._part / name, entry["size"], entry["sha256"]):
                self._done[name] = entry

    def _identity(self) -> dict[str, Any]:
        return {"format": FORMAT, "model": self._model.id, "precision": self._precision.value}

    def _check_space(self, work: list[tuple[str, Rewriting]]) -> None:
        needed = sum(rewriting.size for name, rewriting in work if name not in self._done)
        free = shutil.disk_usage(self._part).free
        if needed + MARGIN_BYTES > free:
            raise PrepareError(
                f"disk too small: {format_bytes(needed)} are still to be written, "
                f"{format_bytes(free)} are free in {self._part.parent}"
            )

    def _copy_side_files(self, files: CheckpointFolder) -> None:
        """Configurations, indexes, tokenizer, scheduler: everything small that a pipeline reads."""
        for folder in (".", *_SIDE_FOLDERS, *(role for role, _ in self._model.components)):
            for name in files.names(folder):
                where = name if folder == "." else f"{folder}/{name}"
                if name.startswith(".") or name.endswith((".safetensors", ".gguf", *PICKLES)):
                    continue
                if folder == "." and name != "model_index.json":
                    continue
                with contextlib.suppress(Fault):  # a folder inside
                    path = files.file(where)
                    if path is not None:
                        (self._part / where).parent.mkdir(exist_ok=True)
                        shutil.copyfile(path, self._part / where)

    def _write(self, work: list[tuple[str, Rewriting]]) -> None:
        total = sum(rewriting.size for _, rewriting in work)
        before = sum(entry["size"] for entry in self._done.values())
        for name, rewriting in work:
            if name in self._done:
                continue
            target = self._part / name
            target.parent.mkdir(exist_ok=True)

            def told(written: int, name: str = name, before: int = before) -> None:
                self._tell({"stage": f"write {name}", "done_bytes": before + written, "total_bytes": total})

            written = rewriting.write(target, told)
            if (recorded := _recorded(rewriting.path)) not in (None, written.source_sha256):
                target.unlink()
                raise PrepareError(
                    f"{rewriting.path} is damaged: its SHA-256 begins with {written.source_sha256[:12]}, "
                    f"the published one with {str(recorded)[:12]}; download it again"
                )
            if rewriting.signature != Rewriting.signature_of(rewriting.path):
                target.unlink()
                raise PrepareError(f"{rewriting.path} changed while it was read; try again when nobody writes it")
            self._done[name] = {
                "size": rewriting.size,
                "sha256": written.sha256,
                "source": rewriting.signature,
                "source_sha256": written.source_sha256,
            }
            progress = {"made": self._identity(), "files": self._done}
            _put(self._part / _PROGRESS, json.dumps(progress).encode())
            before += rewriting.size
        for index in self._part.glob("*/*.safetensors.index.json"):
            self._set_total_size(index)

    def _set_total_size(self, index: Path) -> None:
        """The index names the same files; only their size has changed."""
        content = json.loads(index.read_bytes())
        shards = {f"{index.parent.name}/{shard}" for shard in content["weight_map"].values()}
        content["metadata"] = {"total_size": sum(self._done[shard]["size"] for shard in shards if shard in self._done)}
        _put(index, json.dumps(content, indent=2).encode())

    def _finish(self) -> dict[str, Any]:
        self._tell({"stage": "check"})
        self._refuse_faulty(self._part, "was written but is not valid")
        record = {
            **self._identity(),
            "source": {
                "path": str(self._source.absolute()),
                "files": [
                    {"name": name, **entry["source"], "sha256": entry["source_sha256"]}
                    for name, entry in self._done.items()
                ],
            },
            "files": [
                {"name": name, "size": entry["size"], "sha256": entry["sha256"]} for name, entry in self._done.items()
            ],
            "made_with": {
                "wan-tui": __version__,
                **{name: metadata.version(name) for name in ("torch", "diffusers", "transformers", "safetensors")},
            },
            "made_at": time.time(),
        }
        sums = "".join(f"{entry['sha256']}  {name}\n" for name, entry in self._done.items())
        _put(self._part / SUMS, sums.encode())
        _put(self._part / RECORD, json.dumps(record, indent=2).encode())
        (self._part / _PROGRESS).unlink(missing_ok=True)
        (self._part / ".lock").unlink(missing_ok=True)
        os.rename(self._part, self._output)
        _sync(self._output.parent)
        return record


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PrepareError(f"another process is writing {folder}") from None
        yield


def _holds(path: Path, size: int, sha256: str) -> bool:
    try:
        return path.stat().st_size == size and sha256_of(path) == sha256
    except OSError:
        return False


def _recorded(path: Path) -> str | None:
    """The hub cache names the blob of a weight file by its SHA-256."""
    return path.name if path.parent.name == "blobs" and len(path.name) == hashlib.sha256().digest_size * 2 else None


def _put(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main() -> int:
    """Run the job on standard input; status 1, and why, when it cannot be done."""
    job = PrepareJob(**json.loads(sys.stdin.readline()))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))

    def tell(event: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    try:
        record = prepare(load_catalogue().find(job.model), job, tell)
    except (PrepareError, OSError, Fault) as error:
        text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        tell({"failed": f"{text}{where}"})
        return 1
    tell({"prepared": {**dataclasses.asdict(job), "bytes": sum(entry["size"] for entry in record["files"])}})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
