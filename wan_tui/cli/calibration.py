"""``wan-tui calibration``: show, reset, export, import."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wan_tui.core.errors import UsageError, WanTuiError

if TYPE_CHECKING:
    from wan_tui.core.history.summary import Group

calibration_app = typer.Typer(
    help="How this host's own runs correct its estimates.", no_args_is_help=True, rich_markup_mode=None
)

Deployment = Annotated[str | None, typer.Option(help="Only this deployment.")]
Device = Annotated[str | None, typer.Option(help="Only this device, by the name that show prints.")]


@calibration_app.command()
def show(
    context: typer.Context,
    deployment: Deployment = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> int:
    """Print what has been learnt: observed / modelled per stage, and how good the estimates were."""
    from wan_tui.core.history.reading import read_history
    from wan_tui.core.history.summary import summarise

    path = _path(context)
    records = read_history(path, deployment=deployment)
    groups = summarise([record for record in records if device in (None, record.device)])
    if as_json:
        print(json.dumps([_plain(group) for group in groups], indent=2, ensure_ascii=False))
    elif groups:
        print("\n\n".join(_text(group) for group in groups))
    else:
        print(f"nothing learnt yet in {path}: estimates are modelled")
    return 0


@calibration_app.command()
def reset(
    context: typer.Context,
    deployment: Deployment = None,
    device: Device = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really all of it, when neither of the others is given.")] = False,
) -> int:
    """Take runs out of calibration, so that estimates are modelled again; the history keeps them."""
    from wan_tui.core.history.editing import reset as take_out

    if deployment is None and device is None and not yes:
        raise UsageError("reset takes every run out of calibration: add --yes, or choose with --deployment or --device")
    number = take_out(_path(context), deployment=deployment, device=device)
    if not number and (deployment or device):
        raise WanTuiError("no run of that deployment and device calibrates: see wan-tui calibration show")
    print(f"{_counted(number)} no longer {'calibrates' if number == 1 else 'calibrate'}; the history keeps them")
    return 0


@calibration_app.command("export")
def export_runs(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="New file (default: standard output).")] = None,
    deployment: Deployment = None,
    device: Device = None,
) -> int:
    """Write the runs that calibrate as JSON, without prompts."""
    from wan_tui.core import atomic
    from wan_tui.core.history.exchange import export_text
    from wan_tui.core.history.reading import read_history

    records = read_history(_path(context), deployment=deployment)
    chosen = [record for record in records if record.counts and device in (None, record.device)]
    text = export_text(chosen)
    if file is None:
        print(text, end="")
        return 0
    try:
        atomic.create(file, text.encode())
    except FileExistsError:
        raise WanTuiError(f"{file} exists and is never overwritten: choose another name or remove it") from None
    except OSError as error:
        raise WanTuiError(f"cannot write {file}: {error.strerror}") from None
    sys.stderr.write(f"wrote {_counted(len(chosen))} to {file}\n")
    return 0


@calibration_app.command("import")
def import_runs(context: typer.Context, file: Annotated[Path, typer.Argument(help="File that export wrote.")]) -> int:
    """Add the runs of an exported file; those that are there already are left alone."""
    from wan_tui.core.history.editing import merge
    from wan_tui.core.history.exchange import read_export

    merged = merge(_path(context), read_export(file))
    back = f", {merged.restored} back after a reset" if merged.restored else ""
    print(f"{merged.added} added{back}, {merged.known} there already")
    return 0


def _path(context: typer.Context) -> Path:
    from wan_tui.core.config import load_settings

    return load_settings(context.obj if isinstance(context.obj, Path) else None).paths.history


def _text(group: "Group") -> str:
    from wan_tui.cli.text import columns
    from wan_tui.core.units import format_ratio

    what = {("run", True): "first run", ("run", False): "warm run"}.get((group.kind.value, group.first), "load")
    what += "" if group.number == 1 else "s"
    inside = ""
    if group.coverage.ratio is not None:
        share = f"{group.coverage.inside} of {group.coverage.runs} ({format_ratio(group.coverage.ratio)})"
        inside = f", {share} inside the 90 % interval"
    error = "" if group.median_error is None else f", median error {format_ratio(group.median_error)}"
    title = f"{group.model} on {group.device}: {group.number} {what}{error}{inside}"
    rows = [
        [
            f"  {stage.stage}",
            stage.unit.value,
            f"{stage.ratio:.2f}",
            str(stage.number),
            format_ratio(stage.coverage.ratio),
        ]
        for stage in group.stages
    ]
    plan = f"  plan: {group.plan_key}" if group.plan_key else "  plan: not known"
    return "\n".join([title, plan, columns(["  STAGE", "UNIT", "OBSERVED / MODELLED", "RUNS", "INSIDE"], rows)])


def _plain(group: "Group") -> dict[str, Any]:
    return {
        "kind": group.kind,
        "first": group.first,
        "device": group.device,
        "model": group.model,
        "plan": group.plan_key,
        "runs": group.number,
        "median_error_ratio": group.median_error,
        "inside_interval": group.coverage.inside,
        "with_interval": group.coverage.runs,
        "stages": [
            {
                "stage": stage.stage,
                "unit": stage.unit,
                "observed_to_modelled_ratio": stage.ratio,
                "runs": stage.number,
                "inside_interval": stage.coverage.inside,
                "with_interval": stage.coverage.runs,
            }
            for stage in group.stages
        ],
    }


def _counted(number: int) -> str:
    return f"{number} run or load" if number == 1 else f"{number} runs and loads"
