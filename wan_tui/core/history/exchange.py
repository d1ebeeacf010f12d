"""Calibration as a JSON file, to take it to another host or to put it away. Prompts stay at home."""

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.history.records import Figure, Kind, Record, Unit, Versions
from wan_tui.core.planning.plan import Clip

FORMAT = "wan-tui calibration"
VERSION = 1
# A clock that is a little wrong must not keep a file from being read; one that is very wrong would never age.
CLOCK_TOLERANCE_SECONDS = 86400.0

# What is printed in terminals later: no control characters, no novels.
_Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,300}$")]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=10**6)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Figure(_Part):
    stage: Annotated[_Name, Field(min_length=1)]
    unit: Unit
    modelled: _Amount | None
    low: _Amount | None
    expected: _Amount | None
    high: _Amount | None
    observed: _Amount


class _Clip(_Part):
    width: _Count
    height: _Count
    frames: _Count
    steps: _Count
    guidance: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class _Versions(_Part):
    driver: _Name | None
    torch: _Name | None
    diffusers: _Name | None


class _Record(_Part):
    uid: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+-]{1,64}$")]
    ended_at: _Amount
    kind: Kind
    deployment: _Name
    model: Annotated[_Name, Field(min_length=1)]
    device: Annotated[_Name, Field(min_length=1)]
    plan: _Name
    first: bool
    clip: _Clip | None
    versions: _Versions
    basis: _Name | None
    runs: Annotated[int, Field(ge=0, le=10**6)]
    figures: Annotated[list[_Figure], Field(min_length=1, max_length=50)]


class _File(_Part):
    format: Literal["wan-tui calibration"]
    version: Literal[1]
    records: list[_Record]


def export_text(records: list[Record]) -> str:
    """The file for ``records``, newest first as given."""
    file = {"format": FORMAT, "version": VERSION, "records": [_plain(record) for record in records if record.counts]}
    return json.dumps(file, indent=1, ensure_ascii=False) + "\n"


def read_export(file: Path) -> list[Record]:
    """The records of an exported file. Raises UsageError naming file, key and value of the first mistake."""
    try:
        data = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{file} does not exist") from None
    except OSError as error:
        raise WanTuiError(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not JSON: {error}") from None
    if isinstance(data, dict) and data.get("format") == FORMAT and data.get("version") != VERSION:
        raise UsageError(f"{file}: version = {_short(data.get('version'))}: this wan-tui reads version {VERSION}")
    try:
        parsed = _File.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"{file}: {_first_mistake(error)}") from None
    latest = time.time() + CLOCK_TOLERANCE_SECONDS
    for number, record in enumerate(parsed.records):
        if record.ended_at > latest:
            raise UsageError(f"{file}: records.{number}.ended_at = {record.ended_at}: this is in the future")
    return [_record(record) for record in parsed.records]


def _plain(record: Record) -> dict[str, Any]:
    clip, versions = record.clip, record.versions
    parts = _Record(
        uid=record.uid,
        ended_at=record.ended_at,
        kind=record.kind,
        deployment=record.deployment,
        model=record.model,
        device=record.device,
        plan=record.plan_key,
        first=record.first,
        clip=None
        if clip is None
        else _Clip(width=clip.width, height=clip.height, frames=clip.frames, steps=clip.steps, guidance=clip.guidance),
        versions=_Versions(driver=versions.driver, torch=versions.torch, diffusers=versions.diffusers),
        basis=record.basis,
        runs=record.runs,
        figures=[_Figure(**figure_values(figure)) for figure in record.figures],
    )
    return parts.model_dump(mode="json")


def figure_values(figure: Figure) -> dict[str, Any]:
    """A figure as plain values, by their names."""
    names = ("stage", "unit", "modelled", "low", "expected", "high", "observed")
    return {name: getattr(figure, name) for name in names}


def _record(parsed: _Record) -> Record:
    return Record(
        uid=parsed.uid,
        ended_at=parsed.ended_at,
        kind=parsed.kind,
        deployment=parsed.deployment,
        model=parsed.model,
        device=parsed.device,
        plan_key=parsed.plan,
        plan=None,
        first=parsed.first,
        clip=Clip(**parsed.clip.model_dump()) if parsed.clip else None,
        versions=Versions(**parsed.versions.model_dump()),
        basis=parsed.basis,
        runs=parsed.runs,
        figures=tuple(Figure(**figure.model_dump()) for figure in parsed.figures),
    )


def _first_mistake(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or "the whole file"
    rest = "" if error.error_count() == 1 else f" (and {error.error_count() - 1} more)"
    if problem["type"] == "missing":
        return f"{key}: missing{rest}"
    return f"{key} = {_short(problem['input'])}: {problem['msg']}{rest}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
