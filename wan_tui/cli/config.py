"""``wan-tui config``: show, path, schema, init, check, set, migrate."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wan_tui.cli.text import finding_text
from wan_tui.core.errors import UsageError, WanTuiError

if TYPE_CHECKING:
    from wan_tui.core.validation.findings import Finding

config_app = typer.Typer(help="Show, check and write the configuration.", no_args_is_help=True, rich_markup_mode=None)


@config_app.command()
def show(context: typer.Context) -> int:
    """Print the settings that apply, and where each comes from."""
    from wan_tui.core.config.emitter import effective
    from wan_tui.core.config.environment import overrides
    from wan_tui.core.config.settings import load_settings, read_data, scalar_keys

    file = _file(context)
    settings = load_settings(file)
    print(effective(settings, read_data(file) if file else {}, overrides(scalar_keys())), end="")
    return 0


@config_app.command()
def path(context: typer.Context) -> int:
    """Print the name of the file that applies, or would apply if it were there."""
    print(_file(context) or _usual())
    return 0


@config_app.command()
def schema() -> int:
    """Print the JSON Schema of the file."""
    from wan_tui.core.config import Settings

    print(json.dumps(Settings.model_json_schema(), indent=2))
    return 0


@config_app.command()
def init(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="File to write (default: the usual one).")] = None,
) -> int:
    """Write a commented default file. A file that is there is never overwritten."""
    from wan_tui.core.config.emitter import DEFAULT_FILE

    target = file or _file(context) or _usual()
    if file is None:
        target.parent.mkdir(parents=True, exist_ok=True)
    _create(target, DEFAULT_FILE)
    print(target)
    return 0


@config_app.command()
def check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="File to check (default: the one that applies).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Make the safe fixes; keep the original as FILE.bak.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Status 1 for warnings too.")] = False,
) -> int:
    """Print what is wrong with the configuration, worst first; status 1 when there are errors."""
    from wan_tui.cli.mending import mend
    from wan_tui.core.validation.configuration import check_environment, diagnose
    from wan_tui.core.validation.findings import worst_first

    target = file or _file(context)
    findings = check_environment()
    if target is not None:
        _must_exist(target)
        diagnosis = diagnose(target)
        if fix and mend(target, diagnosis, sys.stderr if as_json else sys.stdout):
            diagnosis = diagnose(target)
        findings = worst_first([*findings, *diagnosis.findings])
    grave = {"error", "warning"} if strict else {"error"}
    valid = not any(finding.severity in grave for finding in findings)
    if as_json:
        entries = [dataclasses.asdict(finding) for finding in findings]
        name = None if target is None else str(target)
        print(json.dumps({"file": name, "valid": valid, "findings": entries}, indent=2))
    else:
        _print(target, findings)
    return 0 if valid else 1


@config_app.command("set")
def set_value(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Its path, such as deployments.story.profile.")],
    value: Annotated[str | None, typer.Argument(help="true, 5, 0.5, or text; none takes the key away.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change and make none.")] = False,
) -> int:
    """Change one setting, keeping comments and the original; an agent that runs takes it up. Prints the change."""
    from wan_tui.agent.changes import setting_of
    from wan_tui.cli.deployments import change

    return change(context, setting_of(key, value), dry_run=dry_run)


@config_app.command()
def migrate(
    file: Annotated[Path, typer.Argument(help="The older config.json.")],
    output: Annotated[Path | None, typer.Option(help="File to write, new (default: standard output).")] = None,
) -> int:
    """Write the TOML form of an older config.json; what cannot be taken over is listed on standard error."""
    from wan_tui.core.config.emitter import as_toml
    from wan_tui.core.validation.configuration import diagnose, is_legacy

    _must_exist(file)
    if not is_legacy(file):
        raise UsageError(f"{file}: migrate reads the older form, a .json file")
    diagnosis = diagnose(file)
    if diagnosis.text is None:
        raise UsageError(f"{file}: {diagnosis.findings[0].message}")
    for finding in diagnosis.findings:
        sys.stderr.write(finding_text(finding) + "\n")
    text = as_toml(diagnosis.settings)
    if output is None:
        print(text, end="")
    else:
        _create(output, text)
        sys.stderr.write(f"wrote {output}\n")
    return 0


def _file(context: typer.Context) -> Path | None:
    from wan_tui.core.paths import config_file

    return context.obj if isinstance(context.obj, Path) else config_file()


def _usual() -> Path:
    from wan_tui.core.paths import default_paths

    return default_paths().config / "wan-tui.toml"


def _must_exist(file: Path) -> None:
    if not file.exists():
        raise UsageError(f"configuration file {file} does not exist")


def _create(file: Path, text: str) -> None:
    from wan_tui.core import atomic

    try:
        atomic.create(file, text.encode())
    except FileExistsError:
        raise WanTuiError(f"{file} exists and is never overwritten: choose another name or remove it") from None
    except OSError as error:
        raise WanTuiError(f"cannot write {file}: {error.strerror}") from None


def _print(file: Path | None, findings: "tuple[Finding, ...]") -> None:
    for finding in findings:
        print(finding_text(finding))
    name = file or "no configuration file, the built-in default applies"
    print(f"{name}: {len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}")
