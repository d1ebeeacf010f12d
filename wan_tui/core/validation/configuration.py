"""Findings of a configuration file, in today's form (TOML) or the older one (JSON), and of the environment."""

import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config.environment import known_variables, overrides, unknown_variables
from wan_tui.core.config.legacy import load_json, parse_legacy
from wan_tui.core.config.mending import mend_json, mend_toml
from wan_tui.core.config.problems import Edit, Kind, Problem, dotted, nearest, shown, unknown_key
from wan_tui.core.config.settings import Settings, known_keys, scalar_keys
from wan_tui.core.errors import UsageError
from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.validation.judgement import Judgement, codes_of, judged
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.validation.rulebook.rules import Group

MAX_BYTES = 4 << 20

_CODES = {
    Kind.UNREADABLE: "WAN101",
    Kind.UNKNOWN_KEY: "WAN102",
    Kind.BAD_VALUE: "WAN103",
    Kind.MISSING_KEY: "WAN104",
    Kind.UNKNOWN_MODEL: "WAN105",
    Kind.LEGACY_UNKNOWN_KEY: "WAN120",
    Kind.LEGACY_FOREIGN: "WAN121",
    Kind.LEGACY_CONTRADICTION: "WAN122",
    Kind.LEGACY_BAD_VALUE: "WAN123",
    Kind.LEGACY_UNSUPPORTED: "WAN124",
    Kind.LEGACY_FRAME_RULE: "WAN125",
    Kind.LEGACY_NO_COUNTERPART: "WAN126",
    Kind.LEGACY_PARTLY_UNSUPPORTED: "WAN127",
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``mended`` is the text with the safe fixes made, None when there are none; ``settings`` the tables it means."""

    findings: tuple[Finding, ...]
    text: str | None
    mended: str | None
    settings: dict[str, Any]


def check_configuration(file: Path) -> tuple[Finding, ...]:
    """What is wrong with ``file``, worst first. Never raises for its content."""
    return diagnose(file).findings


def check_environment(environment: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """What is wrong with the ``WANTUI_`` variables."""
    sections = scalar_keys()
    found = []
    for override in overrides(sections, environment):
        try:
            Settings.model_validate({override.section: {override.key: override.value}})
        except ValidationError as error:
            text = f"{shown(override.value)}: {_expected(error.errors()[0])}"
            found.append(finding("WAN111", override.variable, text))
    for name in unknown_variables(sections, environment):
        near = nearest(name, known_variables(sections))
        fix = f"did you mean {', '.join(near)}? else unset it" if near else None
        found.append(finding("WAN110", dotted([name]), "no setting has this variable", fix))
    return worst_first(found)


def judge_configuration(file: Path | None) -> Judgement:
    """The configuration rules for ``file`` (None: the built-in default) and for the environment.

    Raises UsageError when the file does not exist.
    """
    of_environment = check_environment()
    if file is None:
        codes = [code for code in codes_of(Group.CONFIGURATION) if code not in ("WAN110", "WAN111")]
        return judged(Group.CONFIGURATION, of_environment, dict.fromkeys(codes, "no configuration file"))
    if not file.exists():
        raise UsageError(f"configuration file {file} does not exist")
    older = [code for code in codes_of(Group.CONFIGURATION) if code >= "WAN120"]
    newer = ["WAN102", "WAN103", "WAN104"]
    skipped = (
        dict.fromkeys(newer, "the file is an older config.json")
        if is_legacy(file)
        else dict.fromkeys(older, "only for an older config.json")
    )
    return judged(Group.CONFIGURATION, [*of_environment, *check_configuration(file)], skipped)


def diagnose(file: Path) -> Diagnosis:
    """Findings of ``file`` and what it would be with the safe ones mended."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            return _unreadable(file, f"larger than {MAX_BYTES >> 20} MiB")
        text = content.decode("utf-8")
        is_json = is_legacy(file)
        data = load_json(text) if is_json else tomllib.loads(text)
    except OSError as error:
        return _unreadable(file, error.strerror or str(error))
    except UnicodeDecodeError as error:
        return _unreadable(file, f"not UTF-8 text (byte {error.start})", "save it as UTF-8")
    except RecursionError:
        return _unreadable(file, "nested too deep")
    except ValueError as error:
        return _unreadable(file, f"not valid {'JSON' if is_legacy(file) else 'TOML'}: {error}")
    if is_json:
        legacy = parse_legacy(data)
        settings, problems = legacy.settings, legacy.problems
    else:
        settings, problems = data, tuple(_problems(data))
    edits = [problem.edit for problem in problems if problem.edit is not None]
    found = [finding(_CODES[p.kind], _where(file, p.key), p.message, p.fix) for p in problems]
    found += _circumstances(file, settings)
    return Diagnosis(worst_first(found), text, _mended(text, data, edits, is_json), settings)


def is_legacy(file: Path) -> bool:
    return file.suffix.casefold() == ".json"


def _mended(text: str, data: dict[str, Any], edits: list[Edit], is_json: bool) -> str | None:
    if not edits:
        return None
    mended = mend_json(data, edits) if is_json else mend_toml(text, edits)
    return None if mended == text else mended


def _unreadable(file: Path, message: str, fix: str | None = None) -> Diagnosis:
    return Diagnosis((finding("WAN101", str(file), message, fix),), None, None, {})


def _where(file: Path, key: str) -> str:
    return f"{file}: {key}" if key else str(file)


def _problems(data: dict[str, Any]) -> Iterator[Problem]:
    try:
        Settings.model_validate(data)
    except ValidationError as error:
        for problem in error.errors():
            yield _problem(data, problem)


def _problem(data: dict[str, Any], problem: Mapping[str, Any]) -> Problem:
    path = tuple(str(part) for part in problem["loc"] if part != "[key]")
    key = dotted(path)
    if problem["type"] == "extra_forbidden":
        section: Any = data
        for part in path[:-1]:
            section = section[int(part)] if isinstance(section, list) else section[part]
        if "loras" in path:  # of a list: no edit can name its place
            known = ", ".join(known_keys(list(path[:-1])))
            return Problem(Kind.UNKNOWN_KEY, key, f"unknown key {key}", f"remove it; known here: {known}")
        return unknown_key(Kind.UNKNOWN_KEY, path, known_keys(list(path[:-1])), section)
    if problem["type"] == "missing":
        return Problem(Kind.MISSING_KEY, key, f"{key} is missing")
    if problem["type"] == "value_error" and path[-1] == "model":
        return Problem(Kind.UNKNOWN_MODEL, key, _expected(problem))
    wanted = _expected(problem)
    return Problem(Kind.BAD_VALUE, key, f"{key} = {shown(problem['input'])}: {wanted}", None)


def _expected(problem: Mapping[str, Any]) -> str:
    return str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")


def _circumstances(file: Path, settings: dict[str, Any]) -> Iterator[Finding]:
    outputs = _table(settings, "paths").get("outputs")
    if isinstance(outputs, str) and (why := _not_writable(outputs)):
        yield finding("WAN107", _where(file, "paths.outputs"), f"{shown(outputs)} {why}")
    address = _table(settings, "exporter").get("listen_address")
    if isinstance(address, str) and not _is_loopback(address):
        yield finding("WAN108", _where(file, "exporter.listen_address"), f"{shown(address)} is not loopback")
    tables = {name: table for name, table in _table(settings, "deployments").items() if isinstance(table, dict)}
    yield from _shared(file, tables)
    for name, table in tables.items():
        for part, named in _named_files(table):
            if not _exists(named):
                key = dotted(("deployments", name, *part))
                fix = None if part == ("checkpoint",) else "correct the path"
                yield finding("WAN112", _where(file, key), f"{shown(named)} does not exist", fix)


def _named_files(table: dict[str, Any]) -> Iterator[tuple[tuple[object, ...], str]]:
    """Keys and values of a deployment that name a file or folder with weights."""
    for key in ("checkpoint", "transformer", "transformer_2"):
        if isinstance(table.get(key), str):
            yield (key,), table[key]
    loras = table.get("loras")
    for number, lora in enumerate(loras if isinstance(loras, list) else ()):
        if isinstance(lora, dict) and isinstance(lora.get("path"), str):
            yield ("loras", number, "path"), lora["path"]


def _shared(file: Path, tables: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    on_gpu: dict[str, str] = {}
    equal: dict[tuple[str, ...], str] = {}
    for name, table in tables.items():
        where = _where(file, dotted(("deployments", name)))
        values = (table.get("profile", "auto"), table.get("device", "auto"), table.get("checkpoint", ""))
        model = _model_id(table.get("model"))
        if model is not None and all(isinstance(value, str) for value in values):
            named = sorted(f"{'.'.join(map(str, part))} {path}" for part, path in _named_files(table))
            same = equal.setdefault((model, *values, *named), name)
            if same != name:
                yield finding("WAN109", where, f"equal to deployment {dotted([same])}: {model} twice")
        device = table.get("device")
        if isinstance(device, str) and device.startswith("gpu:"):
            other = on_gpu.setdefault(device, name)
            if other != name:
                yield finding("WAN106", where, f"on {shown(device)}, as is deployment {dotted([other])}")


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    table = data.get(name)
    return table if isinstance(table, dict) else {}


def _model_id(name: object) -> str | None:
    try:
        return load_catalogue().find(name).id if isinstance(name, str) else None
    except UsageError:
        return None


def _not_writable(name: str) -> str | None:
    try:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            return "is not a directory" if folder.exists() else "does not exist"
        return None if os.access(folder, os.W_OK | os.X_OK) else "cannot be written to"
    except (OSError, ValueError, RuntimeError):
        return "cannot be a directory"


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
