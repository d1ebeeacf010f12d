"""``wan-tui deployments``: what runs where, loaded, unloaded, pinned and given another profile."""

import dataclasses
import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wan_tui.agent.client import Client
from wan_tui.cli.attach import Where
from wan_tui.core.errors import WanTuiError

if TYPE_CHECKING:
    from wan_tui.agent.changes import Change
    from wan_tui.core.snapshot import Snapshot

deployments_app = typer.Typer(
    help="Deployments of the agent: what they are, and what they are wanted to be.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="Its name.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the change of the configuration and make none.")]


@deployments_app.callback()
def list_deployments(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> int | None:
    if context.invoked_subcommand is not None:
        return None
    from wan_tui.cli.engine import first_snapshot

    snapshot = _on(context, first_snapshot, start=False)
    if as_json:
        print(json.dumps([dataclasses.asdict(one) for one in snapshot.deployments], indent=2, ensure_ascii=False))
    else:
        print(_table(snapshot))
    return 0


@deployments_app.command()
def load(context: typer.Context, deployment: Name) -> int:
    """Load a deployment; it stays until it is unloaded. An agent is started if there is none."""
    _on(context, lambda client: client.load(deployment))
    return 0


@deployments_app.command()
def unload(context: typer.Context, deployment: Name) -> int:
    """Unload a deployment; its running job ends as cancelled."""
    _on_the_agent(context, lambda client: client.unload(deployment))
    return 0


@deployments_app.command()
def pin(context: typer.Context, deployment: Name) -> int:
    """Keep a deployment loaded, now and after every start; the configuration file says so from then on."""
    _on(context, lambda client: client.pin(deployment, pinned=True))
    return 0


@deployments_app.command()
def unpin(context: typer.Context, deployment: Name) -> int:
    """Leave a deployment to its keep-alive; the configuration file says so from then on."""
    _on_the_agent(context, lambda client: client.pin(deployment, pinned=False))
    return 0


@deployments_app.command()
def profile(
    context: typer.Context,
    deployment: Name,
    name: Annotated[str, typer.Argument(metavar="PROFILE", help="The profile that it gets.")],
    dry_run: DryRun = False,
) -> int:
    """Give a deployment another profile: prints the change of the configuration file, and makes it."""
    from wan_tui.agent.changes import of_deployment

    return change(context, of_deployment(deployment, ("profile", name)), dry_run=dry_run)


@deployments_app.command()
def remedies(
    context: typer.Context,
    deployment: Name,
    apply: Annotated[int | None, typer.Option(metavar="NUMBER", help="Make the change of this one.")] = None,
    dry_run: DryRun = False,
) -> int:
    """What would make a deployment fit, and with --apply the change that one of them is; status 1 when none would."""
    from wan_tui.agent.changes import of_deployment
    from wan_tui.cli.engine import first_snapshot
    from wan_tui.core.errors import UsageError, unknown_name

    snapshot = _on(context, first_snapshot, start=False)
    found = snapshot.deployment(deployment)
    if found is None:
        raise unknown_name("deployment", deployment, [one.name for one in snapshot.deployments])
    offers = found.compatibility.remedies
    if apply is None:
        print(f"{deployment}: {found.compatibility.verdict}: {found.compatibility.reason}")
        for number, remedy in enumerate(offers, 1):
            by_hand = "" if remedy.changes else " (by hand)"
            print(f"  {number}  {remedy.title} -> {remedy.verdict}{by_hand}")
        return 0 if offers or found.compatibility.verdict in ("fits", "offload_required") else 1
    if not 1 <= apply <= len(offers):
        raise UsageError(f"--apply {apply}: {deployment} has {len(offers)} remedies")
    remedy = offers[apply - 1]
    if not remedy.changes:
        raise WanTuiError(f"{remedy.title}: that is done on the host, not in the configuration")
    return change(context, of_deployment(deployment, *remedy.changes), dry_run=dry_run)


def change(context: typer.Context, wanted: "Change", *, dry_run: bool) -> int:
    """Print what ``wanted`` changes in the file, and have it made and taken up. Raises WanTuiError."""

    async def work(client: Client) -> tuple[str, str | None]:
        preview = await client.preview(wanted)
        if dry_run or not preview.diff:
            return preview.diff or f"{preview.file} says so already", None
        backup = await client.apply(wanted, preview.base)
        return preview.diff, f"changed {preview.file}" + (f"; the original is {backup}" if backup else "")

    diff, done = _on(context, work, start=False)
    print(diff)
    if done is not None:
        typer.echo(done, err=True)
    return 0


def _on(context: typer.Context, work: Callable[[Client], Coroutine[Any, Any, Any]], *, start: bool = True) -> Any:
    """On the agent, which is started if there is none and ``start``, else on an engine that only looks."""
    from wan_tui.cli.attach import run_on

    where: Where = context.meta.get("wan_tui.where") or Where()
    return run_on(where, context.obj, work, start=start)


def _on_the_agent(context: typer.Context, work: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    where: Where = context.meta.get("wan_tui.where") or Where()
    if where.embedded or not where.agent_is_there:
        raise WanTuiError("no agent runs here, so nothing is loaded: start one with `wan-tui agent start`")
    return _on(context, work, start=False)


def _table(snapshot: "Snapshot") -> str:
    from wan_tui.cli.text import columns
    from wan_tui.core.units import MISSING, format_bytes

    rows = [
        [
            one.name,
            one.model,
            one.profile,
            one.compatibility.plan.device if one.compatibility.plan else MISSING,
            f"{one.state}{', pinned' if one.pinned else ''}",
            one.compatibility.verdict,
            format_bytes(one.compatibility.headroom_bytes),
        ]
        for one in snapshot.deployments
    ]
    return columns(["DEPLOYMENT", "MODEL", "PROFILE", "DEVICE", "STATE", "VERDICT", "HEADROOM"], rows)
