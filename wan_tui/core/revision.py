"""The commit that this wan-tui is of, read from files alone: nothing is started to find it out."""

import contextlib
import functools
import json
import re
from importlib import metadata
from pathlib import Path

_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


@functools.cache
def revision() -> str | None:
    """The commit of the checkout that runs, or that pip installed from; None for one from a package index."""
    with contextlib.suppress(OSError, ValueError):
        if commit := checked_out(Path(__file__).parents[2]):
            return commit
    with contextlib.suppress(metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        # PEP 610: there only when the package came from a URL, and with a commit only when that was a repository.
        origin = metadata.distribution("wan-tui").read_text("direct_url.json")
        return _commit(str(json.loads(origin or "{}")["vcs_info"]["commit_id"]))
    return None


def checked_out(folder: Path) -> str | None:
    """The commit of the git checkout at ``folder``, which may be a linked worktree; None when it is none.

    Raises OSError and ValueError for what cannot be read.
    """
    git = folder / ".git"
    if git.is_file():
        git = folder / git.read_text().removeprefix("gitdir:").strip()
    if not (git / "HEAD").is_file():
        return None
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return _commit(head)
    name = head.removeprefix("ref: ")
    common = git / (git / "commondir").read_text().strip() if (git / "commondir").is_file() else git
    if (common / name).is_file():
        return _commit((common / name).read_text().strip())
    packed = common / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((_commit(line.split()[0]) for line in lines if line.endswith(f" {name}")), None)


def _commit(text: str) -> str | None:
    return text if _COMMIT.fullmatch(text) else None
