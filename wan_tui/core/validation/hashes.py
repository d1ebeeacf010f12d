"""Whether weight files hold the bytes that were published: their SHA-256 against the recorded one.

Records are looked for where downloads leave them: in the name of the Hugging Face cache's blob, in the metadata of
``hf download --local-dir``, and in ``SHA256SUMS`` or ``<file>.sha256`` beside the weights. Nothing is fetched.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wan_tui.core.validation.checkpoint_files import CheckpointFolder
from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.validation.safetensors_header import Fault, clip, read_regular, show
from wan_tui.core.validation.tensor_comparison import some
from wan_tui.core.validation.transformer_file import SUFFIXES

Progress = Callable[[int, int], None]

# The rules that only checksums can break.
CODES = ("WAN427", "WAN428", "WAN429")
_CHUNK_BYTES = 8 << 20
_RECORD_LIMIT_BYTES = 256 << 10
_LOCAL_METADATA = Path(".cache", "huggingface", "download")
_FILES_LIMIT, _ENTRIES_LIMIT, _LEVELS = 1000, 20_000, 6
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Weight:
    """A weight file: what to call it, the path as named, and the real path that is read."""

    where: str
    named: Path
    real: Path

    @property
    def places(self) -> tuple[Path, ...]:
        """Where records may lie beside it."""
        return (self.named,) if self.named == self.real else (self.named, self.real)


@dataclass(slots=True)
class _Sums:
    """Checksum files that were read, each once: hashes by path, and what is wrong with the files."""

    findings: list[Finding] = field(default_factory=list)
    read: dict[Path, dict[Path, str]] = field(default_factory=dict)

    def of(self, place: Path, roots: list[Path]) -> str | None:
        beside = place.with_name(f"{place.name}.sha256")
        for file in (beside, *(root / "SHA256SUMS" for root in roots)):
            if file not in self.read:
                self.read[file] = self._parse(file, place if file == beside else None)
            if recorded := self.read[file].get(place):
                return recorded
        return None

    def _parse(self, file: Path, only: Path | None) -> dict[Path, str]:
        """``only`` is the file that a hash without a name is of."""
        found: dict[Path, str] = {}
        unreadable, outside = [], []
        for line in (_text(file) or "").splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            recorded, name = line[:64].lower(), line[64:].strip().removeprefix("*")
            apart = not name or line[64].isspace()
            if not (_HASH.fullmatch(recorded) and apart and (name or only)):
                unreadable.append(line)
            elif only is not None:
                if not name or Path(name).name == only.name:
                    found[only] = recorded
            elif Path(name).is_absolute() or ".." in Path(name).parts:
                outside.append(name)
            else:
                found[file.parent / name] = recorded
        for lines, what in ((unreadable, "lines that are no checksums"), (outside, "names that lead elsewhere")):
            if lines:
                message = f"{len(lines)} {what}: {some(lines)}"
                self.findings.append(finding("WAN429", show(file.name).strip("'"), message))
        return found


def check_hashes(path: Path, progress: Progress | None = None) -> tuple[Finding, ...]:
    """Whether the weight files of ``path``, a folder or one file, are what was recorded of them, worst first.

    ``progress`` is called with the bytes read so far and in all.
    """
    findings: list[Finding] = []
    sums = _Sums()
    unreadable = "WAN402" if path.is_dir() else "WAN422"
    records: list[tuple[_Weight, str, int]] = []
    for weight in _weights(path, findings):
        recorded = _recorded(path, weight, sums)
        if recorded is None:
            findings.append(finding("WAN428", weight.where, "no SHA-256 of it is recorded here"))
            continue
        try:
            records.append((weight, recorded, weight.real.stat().st_size))
        except OSError as error:
            findings.append(finding(unreadable, weight.where, f"cannot be read: {clip(error)}"))
    done, total = 0, sum(size for _, _, size in records)
    for weight, recorded, size in records:
        before = done

        def tell(read: int, before: int = before) -> None:
            if progress is not None:
                progress(min(before + read, total), total)

        try:
            actual = _sha256(weight.real, tell)
        except (OSError, ValueError) as error:
            findings.append(finding(unreadable, weight.where, f"cannot be read: {clip(error)}"))
        else:
            if actual != recorded:
                message = f"its SHA-256 begins with {actual[:12]}, the recorded one with {recorded[:12]}"
                findings.append(finding("WAN427", weight.where, message))
        done += size
    return worst_first([*findings, *sums.findings])


def _weights(path: Path, findings: list[Finding]) -> Iterator[_Weight]:
    if not path.is_dir():
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            findings.append(finding("WAN422", show(path.name).strip("'"), f"cannot be read: {clip(error)}"))
        else:
            yield _Weight(show(path.name).strip("'"), Path(os.path.abspath(path)), real)
        return
    try:
        folder = CheckpointFolder.open(path)
    except Fault as fault:
        findings.append(finding(fault.code, show(str(path)).strip("'"), fault.message))
        return
    for name in _names(folder.path):
        where = show(name).strip("'")
        try:
            inside = folder.file(name)
        except Fault as fault:
            findings.append(finding(fault.code, where, fault.message))
        else:
            if inside is not None:
                yield _Weight(where, folder.path / name, inside)


def _names(root: Path) -> list[str]:
    """Weight files under ``root``, relative to it; linked folders and hidden ones are left out."""
    names: list[str] = []
    seen = 0
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        seen += len(files) + len(subfolders)
        names += [os.path.relpath(os.path.join(folder, name), root) for name in files if _is_weight(name)]
        if seen > _ENTRIES_LIMIT or len(names) > _FILES_LIMIT:
            break
    return sorted(names)[:_FILES_LIMIT]


def _is_weight(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _recorded(path: Path, weight: _Weight, sums: _Sums) -> str | None:
    if recorded := _blob(weight.real):
        return recorded
    for place in weight.places:
        if recorded := _metadata(place) or sums.of(place, _roots(path, place)):
            return recorded
    return None


def _blob(real: Path) -> str | None:
    """The hub cache names the blob of a large file by its SHA-256."""
    return real.name if real.parent.name == "blobs" and _HASH.fullmatch(real.name) else None


def _metadata(place: Path) -> str | None:
    """``hf download --local-dir`` notes commit, etag and time; the etag of a large file is its SHA-256."""
    for root in list(place.parents)[:_LEVELS]:
        lines = (_text(root / _LOCAL_METADATA / f"{place.relative_to(root)}.metadata") or "").splitlines()
        if len(lines) > 1 and _HASH.fullmatch(etag := lines[1].strip().lower()):
            return etag
    return None


def _roots(path: Path, place: Path) -> list[Path]:
    """Folders whose SHA256SUMS may speak of ``place``: its own, and those up to the checkpoint's."""
    if not path.is_dir():
        return [place.parent]
    top = path.resolve()
    return [folder for folder in place.parents if folder.is_relative_to(top)]


def _text(path: Path) -> str | None:
    try:
        data, size = read_regular(path, 0, _RECORD_LIMIT_BYTES)
    except (OSError, ValueError):
        return None
    return data.decode("utf-8", "replace") if size <= _RECORD_LIMIT_BYTES else None


def _sha256(path: Path, tell: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    done = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            tell(done)
    return digest.hexdigest()
