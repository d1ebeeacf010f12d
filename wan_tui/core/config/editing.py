"""Settings changed in the text of a TOML file, which keeps its comments and layout; and the file written safely."""

import copy
import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from wan_tui.core import atomic
from wan_tui.core.config.emitter import DEFAULT_FILE
from wan_tui.core.config.problems import dotted
from wan_tui.core.config.settings import default_settings
from wan_tui.core.errors import UsageError, WanTuiError

Key = tuple[str, ...]
Value = str | bool | int | float | None
"""What a key is set to; None takes it away, so that its default applies."""


def with_settings(text: str | None, changes: Mapping[Key, Value]) -> str:
    """``text`` (None: no file yet) with ``changes`` made and nothing else.

    A file without deployments runs the default ones; they are written out before one of them is changed, since any
    deployment in the file replaces them all. Raises UsageError for text that is no TOML or keys that are no tables.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    text = DEFAULT_FILE if text is None else text
    try:
        data = tomllib.loads(text)
        if "deployments" not in data and any(path[0] == "deployments" for path in changes):
            text = f"{text.rstrip()}\n\n{_default_deployments()}" if text.strip() else _default_deployments()
            data = tomllib.loads(text)
        wanted, document = copy.deepcopy(data), tomlkit.parse(text)
        for path, value in changes.items():
            _set(wanted, path, value)
            _set(document, path, value)
        edited = document.as_string()
    except (ValueError, RecursionError, TOMLKitError) as error:
        raise UsageError(f"not valid TOML: {error}") from None
    if tomllib.loads(edited) != wanted:
        keys = ", ".join(dotted(path) for path in changes)
        raise WanTuiError(f"the layout of the file does not allow to set {keys} without more changes: edit it by hand")
    return edited


def _set(table: Any, path: Key, value: Value) -> None:
    for number, part in enumerate(path[:-1]):
        if part not in table:
            if value is None:
                return
            table[part] = {}
        table = table[part]
        if not isinstance(table, dict):
            raise UsageError(f"{dotted(path[: number + 1])} is no table")
    if value is None:
        table.pop(path[-1], None)
    else:
        table[path[-1]] = value


def _default_deployments() -> str:
    tables = {
        name: {"model": wanted.model, **({} if wanted.profile == "auto" else {"profile": wanted.profile})}
        for name, wanted in default_settings().deployments.items()
    }
    blocks = (tomli_w.dumps({"deployments": {name: table}}) for name, table in tables.items())
    return "# The default deployments, as they ran without this list.\n" + "\n".join(blocks)


def unified(before: str | None, after: str, name: str) -> str:
    """What changes, as ``diff -u`` says it; all of ``after`` for a file that is new."""
    old = [] if before is None else before.splitlines()
    origin = "/dev/null" if before is None else name
    return "\n".join(difflib.unified_diff(old, after.splitlines(), origin, name, lineterm=""))


def rewrite(file: Path, before: str | None, after: str) -> Path | None:
    """Put ``after`` in the place of ``before``, whole or not at all; the backup's name, None for a new file.

    Raises WanTuiError when the file is no longer as ``before``, or cannot be written; then it is as it was.
    """
    try:
        if before is None:
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic.create(file, after.encode())
            return None
        backup = atomic.back_up(file)
        if backup.read_bytes() != before.encode():
            raise WanTuiError(f"{file} changed meanwhile: look at it again (a copy is {backup})")
        atomic.replace(file, after.encode())
    except FileExistsError:
        raise WanTuiError(f"{file} came into being meanwhile: look at it again") from None
    except OSError as error:
        raise WanTuiError(f"cannot write {file}: {error.strerror}; it is as it was") from None
    return backup
