"""What the command line does with jobs: the same as the keys, by the number of a job or the path of a file."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.job_lines import read_lines
from wan_tui.core.words import JobState
from wan_tui.ui import job_actions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wan_tui.agent.client import Client
    from wan_tui.core.planning.plan import Clip, GenerationRequest
    from wan_tui.core.runtime.state import Job
    from wan_tui.ui.app import WanTuiApp


# -- what the word in the place of a job may be


def _jobs(app: WanTuiApp, wanted: Callable[[Job], bool] = lambda job: True) -> list[Job]:
    return [job for job in app.session.snapshot.jobs if wanted(job)] if app.session.snapshot else []


def all_jobs(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    return () if given else [job.id for job in _jobs(app)]


def with_video(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    return () if given else [job.id for job in _jobs(app, lambda job: job.output is not None)]


def waiting(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    return () if given else [job.id for job in _jobs(app, lambda job: job.state is JobState.QUEUED)]


def _job(app: WanTuiApp, name: str) -> Job:
    for job in _jobs(app):
        if job.id == name:
            return job
    raise unknown_name("job", name, [job.id for job in _jobs(app)])


# -- what they do


def show(app: WanTuiApp, given: list[str]) -> None:
    from wan_tui.ui.screens.job_detail import JobDetail

    app.push_screen(JobDetail(app.session, _job(app, given[0]).id, mode=app.base_screen.mode))


def play(app: WanTuiApp, given: list[str]) -> None:
    job = _job(app, given[0])
    if job.output is None:
        raise UsageError(f"job {job.id} has no video: it is {job.state.value}")
    job_actions.play(app.base_screen, job)


def again(app: WanTuiApp, given: list[str]) -> None:
    _with_request(app, given[0], lambda request: job_actions.again(app.base_screen, request))


def edit(app: WanTuiApp, given: list[str]) -> None:
    def take(request: GenerationRequest) -> None:
        app.run_worker(job_actions.edit(app.base_screen, request), exit_on_error=False, group="commands")

    _with_request(app, given[0], take)


def _with_request(app: WanTuiApp, name: str, use: Callable[[GenerationRequest], None]) -> None:
    """The request of a job on the list, or of the sidecar whose whole path is given."""
    if not name.startswith("/"):
        use(_job(app, name).request)
        return

    async def read(client: Client) -> GenerationRequest:
        content = await client.sidecar(name)
        return await asyncio.to_thread(_recorded, content, name)

    app.session.ask("sidecar", read, use)


def _recorded(content: str, name: str) -> GenerationRequest:
    from wan_tui.core.runtime.outputs import recorded_in

    return recorded_in(content.encode(), name).request


def move(app: WanTuiApp, given: list[str]) -> None:
    try:
        by = int(given[1])
    except ValueError:
        raise UsageError(f"places {given[1]!r}: a whole number, such as -1 for one place sooner") from None
    job_actions.move(app.base_screen, _job(app, given[0]), by)


def remove(app: WanTuiApp, given: list[str]) -> None:
    job_actions.ask_remove(app.base_screen, _job(app, given[0]))


def batch(app: WanTuiApp, given: list[str]) -> None:
    snapshot = app.session.snapshot
    name = given[1] if len(given) > 1 else app.base_screen.selected_deployment()
    status = snapshot.deployment(name) if snapshot is not None and name is not None else None
    if status is None:
        known = [deployment.name for deployment in snapshot.deployments] if snapshot is not None else []
        raise unknown_name("deployment", name or "", known)
    file, defaults = Path(given[0]).expanduser().absolute(), status.defaults

    async def work(client: Client) -> str:
        requests = await asyncio.to_thread(read_batch, file, status.name, defaults)
        jobs = await queue_all(client, requests)
        return jobs[0] if len(jobs) == 1 else f"{len(jobs)} jobs, {jobs[0]} to {jobs[-1]}"

    app.session.perform(f"batch {file.name}", work)


def export(app: WanTuiApp, given: list[str]) -> None:
    from wan_tui.core.runtime.past import PastFilter
    from wan_tui.ui.screens.export import target, write_history

    path, form = target(given[0])
    if path.exists():
        raise UsageError(f"{path} exists: choose another name, or x on the Jobs screen, which asks")
    write_history(app.session, PastFilter(), path, form)


# -- batches


def read_batch(file: Path, deployment: str, defaults: Clip) -> list[GenerationRequest]:
    """A request for every line that is not empty, paths from where wan-tui was started. Raises UsageError."""
    from wan_tui.agent.messages import JobOrder, parse

    requests: list[GenerationRequest] = []
    for number, line in read_lines(file).items():
        try:
            data = json.loads(line)
            if not isinstance(data, dict):
                raise UsageError("not a JSON object")
            if "deployment" in data:
                raise UsageError("deployment: said once for the whole batch; leave it out of the lines")
            whole = {name: str(Path(data[name]).absolute()) for name in ("image", "output") if data.get(name)}
            order = parse(JobOrder, json.dumps({**data, **whole, "deployment": deployment}).encode())
            requests.append(order.request(defaults))
        except (ValueError, TypeError) as error:
            raise UsageError(f"{file}:{number}: not a JSON object: {error}") from None
        except UsageError as error:
            raise UsageError(f"{file}:{number}: {error}") from None
    return requests


async def queue_all(client: Client, requests: list[GenerationRequest]) -> list[str]:
    """All of them or none; the ids of their jobs."""
    queued: list[str] = []
    for number, request in enumerate(requests, 1):
        try:
            queued.append(await client.generate(request))
        except WanTuiError as error:
            for job in queued:
                with contextlib.suppress(WanTuiError):  # it has ended meanwhile
                    await client.cancel(job)
            raise type(error)(f"job {number} of the batch: {error}; nothing was queued") from None
    return queued
