"""``wan-tui jobs``: the queue of the agent, seen and put in order."""

import dataclasses
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from wan_tui.agent.client import Client
from wan_tui.cli.attach import Where
from wan_tui.core.errors import WanTuiError

Result = TypeVar("Result")

jobs_app = typer.Typer(
    help="The queue of the agent: what runs, what waits in its order, what ended lately.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Number = Annotated[str, typer.Argument(metavar="JOB", help="Its number.")]


@jobs_app.callback()
def list_jobs(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> int | None:
    if context.invoked_subcommand is not None:
        return None
    from wan_tui.cli.engine import first_snapshot
    from wan_tui.core.runtime.state import by_turn

    jobs = by_turn(_on_the_agent(context, first_snapshot).jobs)
    if as_json:
        plain = [dataclasses.asdict(dataclasses.replace(job, preview=None)) for job in jobs]
        print(json.dumps(plain, indent=2, ensure_ascii=False))
    else:
        from wan_tui.cli.reports_of_jobs import jobs_text

        print(jobs_text(jobs) if jobs else "no jobs yet")
    return 0


@jobs_app.command()
def cancel(context: typer.Context, job: Number) -> int:
    """Cancel a job: at once when it waits, after the current step when it runs."""
    _on_the_agent(context, lambda client: client.cancel(job))
    return 0


@jobs_app.command(context_settings={"ignore_unknown_options": True})
def move(
    context: typer.Context,
    job: Number,
    places: Annotated[int, typer.Argument(help="How many places later; -1 is one place sooner.")],
) -> int:
    """Let a waiting job run later or sooner; its priority says so from then on."""
    _on_the_agent(context, lambda client: client.move(job, places))
    return 0


@jobs_app.command()
def remove(context: typer.Context, job: Number) -> int:
    """Take a job that waits or has ended off the list; the history keeps what ran."""
    _on_the_agent(context, lambda client: client.remove(job))
    return 0


def _on_the_agent(context: typer.Context, work: Callable[[Client], Coroutine[Any, Any, Result]]) -> Result:
    """Without an agent there is no queue to see or to change: none is started for it. Raises WanTuiError."""
    from wan_tui.cli.attach import run_on

    where: Where = context.meta.get("wan_tui.where") or Where()
    config: Path | None = context.obj
    if where.embedded or not where.agent_is_there:
        raise WanTuiError("no agent runs here, so nothing waits or runs: start one with `wan-tui agent start`")
    return run_on(where, config, work, start=False)
