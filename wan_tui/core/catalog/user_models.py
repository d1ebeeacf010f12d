"""Models that users add: ``models.toml`` in the configuration directory, in terms of models that exist."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from wan_tui.core.errors import UsageError, WanTuiError, unknown_name

FILE_NAME = "models.toml"
MAX_BYTES = 1 << 20

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_Positive = Annotated[int, Field(ge=1, le=100_000_000)]


class UserModel(BaseModel):
    """A table of the file: what differs from the model ``base``, whose networks it shares."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    repository: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    boundary_ratio: float | None = Field(default=None, gt=0, lt=1)
    flow_shift: float | None = Field(default=None, gt=0, le=100)
    fps: Annotated[int, Field(ge=1, le=240)] | None = None
    default_size: tuple[_Positive, _Positive] | None = None
    default_frames: _Positive | None = None
    default_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    default_guidance: float | None = Field(default=None, ge=0, le=100)
    default_guidance_low_noise: float | None = Field(default=None, ge=0, le=100)
    max_pixels: _Positive | None = None
    max_frames: _Positive | None = None


def read_user_models(file: Path, built_in: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Entries of ``file`` as complete as the ``built_in`` ones, by id; nothing when there is no file.

    Raises UsageError naming file, model, key and value.
    """
    try:
        content = file.read_bytes()[: MAX_BYTES + 1]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise WanTuiError(f"cannot read {file}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{file}: larger than {MAX_BYTES >> 20} MiB")
    try:
        tables = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from None
    taken = {name.casefold() for name in built_in}
    entries = {}
    for name, table in tables.items():
        if not _ID.fullmatch(name):
            raise UsageError(f"{file}: {name!r} is no id: letters, digits and . _ - only, at most 63")
        if name.casefold() in taken:
            raise UsageError(f"{file}: {name}: there is a model of this id already; choose another")
        taken.add(name.casefold())
        entries[name] = _complete(file, name, table, built_in)
    return entries


def _complete(file: Path, name: str, table: object, built_in: dict[str, dict[str, Any]]) -> dict[str, Any]:
    try:
        model = UserModel.model_validate(table)
    except ValidationError as error:
        raise UsageError(f"{file}: {_problem(name, error)}") from None
    bases = {known.casefold(): known for known, entry in built_in.items() if entry["weights"] == "checkpoint"}
    base = bases.get(model.base.casefold())
    if base is None:
        raise UsageError(f"{file}: {name}.base: {unknown_name('model', model.base, bases.values())}")
    changes = model.model_dump(exclude={"base"}, exclude_none=True)
    return {**built_in[base], "title": f"{name} (as {base})", **changes}


def _problem(name: str, error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join([name, *(str(part) for part in problem["loc"])])
    if problem["type"] == "extra_forbidden":
        return f"{key}: {unknown_name('key', str(problem['loc'][-1]), UserModel.model_fields)}"
    if problem["type"] == "missing":
        return f"{key}: missing; add it"
    return f"{key} = {problem['input']!r}: {problem['msg']}"
