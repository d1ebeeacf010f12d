"""The commands and their options. Each body imports what it needs, so ``--help`` stays quick."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from wan_tui import __version__
from wan_tui.cli.agent import agent_app
from wan_tui.cli.attach import Where
from wan_tui.cli.calibration import calibration_app
from wan_tui.cli.config import config_app
from wan_tui.cli.deployments import deployments_app
from wan_tui.cli.generate_options import generate
from wan_tui.cli.jobs import jobs_app
from wan_tui.core.errors import UsageError

app = typer.Typer(
    name="wan-tui",
    help="Run Wan 2.2 video models on NVIDIA GPUs and see what they do. Without a command: the terminal UI.",
    invoke_without_command=True,
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(config_app, name="config")
app.add_typer(calibration_app, name="calibration")
app.add_typer(agent_app, name="agent")
app.add_typer(jobs_app, name="jobs")
app.add_typer(deployments_app, name="deployments")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def run(arguments: Sequence[str]) -> int:
    """Parse and run. Wrong usage ends with status 2 and typer's own message."""
    try:
        result = app(args=list(arguments), standalone_mode=False)
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.Abort:
        return 130
    except Exception as error:
        # typer brings its own click: its usage errors are known by what they can do.
        if not hasattr(error, "show") or not hasattr(error, "exit_code"):
            raise
        error.show()
        return int(error.exit_code)
    return result if isinstance(result, int) else 0


def _config(context: typer.Context) -> Path | None:
    config: Path | None = context.obj
    return config


def _where(context: typer.Context) -> Where:
    where: Where = context.meta["wan_tui.where"]
    return where


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"wan-tui {__version__}")
        raise typer.Exit


@app.callback()
def screens(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Configuration file (default: wan-tui.toml).")
    ] = None,
    mouse: Annotated[bool, typer.Option("--mouse", help="Let the terminal UI use the mouse.")] = False,
    theme: Annotated[
        str | None, typer.Option(metavar="NAME", help="Colours: dark, light, contrast, colour-blind or ansi.")
    ] = None,
    refresh: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="The least time between two pictures (default: 0.2).")
    ] = None,
    slow_link: Annotated[
        bool, typer.Option("--slow-link", help="A picture every five seconds at most, and no previews.")
    ] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters alone.")] = False,
    screen: Annotated[str | None, typer.Option(metavar="NAME", help="Open with this screen, such as gpus.")] = None,
    screenshot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Write a picture of the screen and leave.")
    ] = None,
    size: Annotated[str, typer.Option(metavar="COLSxROWS", help="Size of the picture.")] = "160x48",
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Run the engine in this process: everything ends with it.")
    ] = False,
    host: Annotated[
        str | None, typer.Option(metavar="USER@HOST", help="Attach to the agent of another host, through ssh.")
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Control socket of the agent (default: $WANTUI_AGENT_SOCKET or the usual)."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> int | None:
    context.obj = config
    context.meta["wan_tui.where"] = where = Where(embedded=embedded, host=host, socket=socket)
    if context.invoked_subcommand is not None:
        return None
    from wan_tui.cli.screens import open_screens
    from wan_tui.ui.options import UiOptions, checked

    def change(options: UiOptions) -> UiOptions:
        seconds = options.refresh_seconds if refresh is None else checked(refresh, "--refresh")
        return replace(
            options,
            theme=theme or options.theme,
            refresh_seconds=seconds,
            slow_link=slow_link or options.slow_link,
            mouse=mouse or options.mouse,
            screen=screen,
            ascii_only=True if ascii_only else None,
        )

    return open_screens(config, where=where, change=change, picture=screenshot, size=size)


@app.command()
def status(context: typer.Context, as_json: Json = False) -> int:
    """Show devices, deployments and verdicts once."""
    from wan_tui.cli.status import print_status

    return print_status(_config(context), as_json=as_json, where=_where(context))


@app.command()
def serve(
    context: typer.Context,
    address: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = 8022,
    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", help="Let others reach it: without a password they can do everything."),
    ] = False,
) -> int:
    """Offer the terminal UI in a browser, to this host alone."""
    from wan_tui.cli.serve import serve as run_serve

    config, where = _config(context), _where(context)
    given = ["--config", str(config.absolute())] if config else []
    given += ["--host", where.host] if where.host else []
    given += ["--socket", str(where.socket)] if where.socket else []
    if where.embedded:
        raise UsageError("serve: every visitor would run an engine of their own: leave --embedded out")
    return run_serve(address, port, allow_remote=allow_remote, arguments=given)


@app.command()
def models(as_json: Json = False) -> int:
    """List the models that exist."""
    from wan_tui.cli.models import print_models

    return print_models(as_json=as_json)


@app.command()
def validate(
    context: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Models, deployments, configuration files or checkpoints (default: all that matters here)."
        ),
    ] = None,
    detailed: Annotated[bool, typer.Option("--detailed", help="Add every rule: passed, failed or skipped.")] = False,
    hardware_check: Annotated[
        bool, typer.Option("--hardware-check", help="Judge models and all deployments against this host too.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report to a file too (JSON without --format).")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="FORM", help="text, json, junit, sarif or github.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing; the exit status says it.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Make the safe fixes of the configuration; keep a .bak.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Status 1 for warnings too.")] = False,
) -> int:
    """Judge configuration, models and host without loading anything; status 1 when something is invalid."""
    from wan_tui.cli.validate import Options
    from wan_tui.cli.validate import validate as run_validation

    options = Options(
        targets=tuple(targets or ()),
        detailed=detailed,
        hardware_check=hardware_check,
        report=report,
        form="json" if as_json else form,
        quiet=quiet,
        fix=fix,
        strict=strict,
    )
    return run_validation(_config(context), options)


@app.command()
def plan(
    context: typer.Context,
    models: Annotated[list[str] | None, typer.Argument(help="Models (default: all that can be downloaded).")] = None,
    gpu: Annotated[
        list[str] | None,
        typer.Option(help="A card by name (rtx 4080, h100), here or not, or a GPU of this host by index."),
    ] = None,
    vram: Annotated[float | None, typer.Option(metavar="GIB", help="Memory of the card instead of its own.")] = None,
    host_memory: Annotated[
        float | None, typer.Option(metavar="GIB", help="Memory of the host around a named card (default: enough).")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="What the plan may be made of (default: auto).")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Pixels (default: the model's).")] = None,
    height: Annotated[int | None, typer.Option(min=1, help="Pixels (default: the model's).")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames (default: the model's).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps (default: the model's).")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, max=100, help="Above 1 every step runs twice.")] = None,
    image: Annotated[bool, typer.Option("--image", help="A picture is given (ti2v).")] = False,
    batch: Annotated[int, typer.Option(min=1, max=64, help="Clips at once.")] = 1,
    precision: Annotated[
        str | None, typer.Option(help="bf16, fp16, fp32, or of the stored weights: fp8, int8, int4, nf4, q4_k_m, …")
    ] = None,
    offload: Annotated[str | None, typer.Option(help="none, model, group_block, group_leaf or sequential.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Models x profiles x GPUs as a table.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Memory of every phase, part by part.")] = False,
    declared: Annotated[
        bool, typer.Option("--declared", help="What an earlier configuration declared, and whether it can be true.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Will it fit, how long will it take: on this host or on any known card; status 1 when it cannot run."""
    from wan_tui.cli.plan import Question, print_declared, print_matrix, print_plans

    if declared:
        return print_declared(as_json=as_json)
    question = Question(
        models=tuple(models or ()),
        gpus=tuple(gpu or ()),
        vram=vram,
        host_memory=host_memory,
        profile=profile,
        width=width,
        height=height,
        frames=frames,
        steps=steps,
        guidance=guidance,
        image=image,
        batch=batch,
        precision=precision,
        offload=offload,
    )
    if everything:
        return print_matrix(_config(context), question, as_json=as_json)
    return print_plans(_config(context), question, explain=explain, as_json=as_json)


@app.command()
def check(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model that the checkpoint is of.")],
    path: Annotated[
        Path | None,
        typer.Argument(help="Its folder, or a .safetensors or .gguf file (default: where it would be loaded from)."),
    ] = None,
    with_hashes: Annotated[bool, typer.Option("--hash", help="Also read all weights and compare checksums.")] = False,
    as_json: Json = False,
) -> int:
    """Check a checkpoint without loading it, by its headers alone; status 1 when it cannot be used."""
    from wan_tui.cli.check import check_model

    return check_model(model, path, _config(context), as_json=as_json, with_hashes=with_hashes)


@app.command()
def download(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model to download.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit (default: main).")] = None,
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where (default: the models directory).")] = None,
    as_json: Json = False,
) -> int:
    """Download a published checkpoint, finishing an earlier try, and verify it; status 1 when it failed."""
    from wan_tui.cli.download import download_model

    return download_model(model, _config(context), revision=revision, to=to, as_json=as_json)


@app.command()
def prepare(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model whose checkpoint is prepared.")],
    precision: Annotated[
        str, typer.Option(help="bf16, fp16 or fp8: what its deployments compute or store in.")
    ] = "bf16",
    source: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Checkpoint (default: where it would be loaded from).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the copy goes (default: beside the checkpoint).")
    ] = None,
    as_json: Json = False,
) -> int:
    """Write a verified copy of a checkpoint in the format of a plan, once: loads then map it instead of casting."""
    from wan_tui.cli.prepare import prepare_model

    return prepare_model(model, precision, _config(context), source=source, output=output, as_json=as_json)


@app.command(name="profile-architecture")
def profile_architecture(
    models: Annotated[list[str] | None, typer.Argument(help="Models (default: all).")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the data file of the planner.")] = None,
    as_json: Json = False,
) -> int:
    """Measure activation memory and operations of the real modules on meta tensors (needs torch, no GPU)."""
    from wan_tui.cli.profile import profile_architecture as run_profile

    return run_profile(models or [], output, as_json=as_json)


@app.command()
def rules(
    code: Annotated[str | None, typer.Argument(help="One rule (default: all).")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The documentation page.")] = False,
    as_json: Json = False,
) -> int:
    """Explain the rules behind findings: what each looks at, why it matters, how to mend it."""
    from wan_tui.cli.rules import print_rules

    return print_rules(code, as_json=as_json, markdown=markdown)


@app.command()
def runbook(
    alert: Annotated[str | None, typer.Argument(help="One alert, as WanTuiGpuLost (default: list all).")] = None,
) -> int:
    """Show what an alert means and what to do about it, without a network."""
    from wan_tui.cli.runbook import print_runbook

    return print_runbook(alert)


app.command()(generate)


@app.command()
def history(
    context: typer.Context,
    deployment: Annotated[str | None, typer.Option(help="Only this deployment.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only what ended after a date (2026-01-31), a time, or 2h, 3d ago.")
    ] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line for every stage.")] = False,
) -> int:
    """List finished loads and runs, newest first, estimates beside what was observed."""
    import time

    from wan_tui.cli.history import print_history

    return print_history(
        _config(context), deployment=deployment, since=since, as_json=as_json, as_csv=as_csv, now=time.time()
    )


@app.command()
def bench(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Model to measure.")],
    grid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML: sizes, frames, steps and plans (default: the model's).")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="synthetic (random values, nothing is downloaded), pocket or checkpoint.")
    ] = "synthetic",
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON: keep each result at once, go on from what is in it.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu:N.")] = "auto",
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Denoising steps of every clip (default: the grid's).")
    ] = None,
    as_json: Json = False,
) -> int:
    """Run a grid of clips and plans for real; print estimated beside observed seconds and memory."""
    from wan_tui.cli.bench import run_bench

    return run_bench(model, grid, weights, report, device=device, steps=steps, config=_config(context), as_json=as_json)


@app.command()
def selftest(as_json: Json = False) -> int:
    """Load the pocket model, generate, decode the file, scrape the metrics, unload; status 1 when a check fails."""
    from wan_tui.cli.selftest import run_selftest

    return run_selftest(as_json=as_json)
