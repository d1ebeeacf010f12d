"""``wan-tui validate``: configuration, models, deployments and this host, judged and reported."""

import sys
from dataclasses import dataclass
from pathlib import Path

from wan_tui.cli.mending import mend
from wan_tui.cli.reports import FORMATS
from wan_tui.core import atomic
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.validation.configuration import diagnose
from wan_tui.core.validation.inspection import inspect
from wan_tui.core.validation.report import Kind, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line of one validation."""

    targets: tuple[str, ...] = ()
    detailed: bool = False
    hardware_check: bool = False
    report: Path | None = None
    form: str | None = None
    quiet: bool = False
    fix: bool = False
    strict: bool = False


def validate(config: Path | None, options: Options) -> int:
    """Print or write the report; exit status 1 when something is invalid. Raises UsageError for bad targets."""
    if options.form is not None and options.form not in FORMATS:
        raise unknown_name("format", options.form, FORMATS)
    report = inspect(config, options.targets, hardware=options.hardware_check)
    if options.fix and _mended(report):
        report = inspect(config, options.targets, hardware=options.hardware_check)
    form = options.form or "text"
    if options.report is not None:
        # A file is for programs unless its name or --format says otherwise.
        wanted = options.form or ("text" if options.report.suffix in (".txt", ".log") else "json")
        _write(options.report, FORMATS[wanted](report, detailed=options.detailed))
    if not options.quiet and (text := FORMATS[form](report, detailed=options.detailed)):
        print(text)
    return 0 if report.valid(strict=options.strict) else 1


def _mended(report: Report) -> bool:
    files = [Path(subject.place) for subject in report.of(Kind.CONFIGURATION) if subject.place is not None]
    return any([mend(file, diagnose(file), sys.stderr) for file in files])


def _write(file: Path, text: str) -> None:
    if file.is_dir():
        raise UsageError(f"--report {file} is a directory: name a file")
    try:
        atomic.replace(file, f"{text}\n".encode())
    except OSError as error:
        raise WanTuiError(f"cannot write the report {file}: {error.strerror}") from None
