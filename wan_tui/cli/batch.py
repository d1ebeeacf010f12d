"""``wan-tui generate DEPLOYMENT --batch jobs.jsonl``: many generations, all checked before the first is queued."""

import asyncio
import contextlib
import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from wan_tui.agent.client import Client
from wan_tui.cli.attach import Where, run_on
from wan_tui.cli.engine import first_snapshot
from wan_tui.cli.generate import Wishes
from wan_tui.cli.progress import Narrator
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.config import load_settings
from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.job_lines import read_lines
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.plan import Clip, GenerationRequest
from wan_tui.core.planning.questions import MAX_QUESTIONS, Question
from wan_tui.core.runtime.state import Job
from wan_tui.core.units import format_seconds
from wan_tui.core.validation.request import check_output, normalise
from wan_tui.core.words import JobState


class BatchLine(BaseModel):
    """One line: what a request can say, its deployment apart. What is left out is the deployment's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    prompt: str
    negative_prompt: str = ""
    image: str | None = None
    output: str | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    priority: int = 0
    timeout_seconds: float | None = None
    retries: int = 0
    requeue: bool = True
    videos: int = 1

    def request(self, deployment: str, clip: Clip) -> GenerationRequest:
        """With the defaults of the deployment; relative paths are those of the working directory."""
        values: dict[str, Any] = dataclasses.asdict(clip)
        values |= {name: value for name, value in self.model_dump().items() if value is not None}
        for name in ("image", "output"):
            if values.get(name) is not None:
                values[name] = str(Path(values[name]).absolute())
        return GenerationRequest(deployment=deployment, **values)


def generate_batch(config: Path | None, deployment: str, file: Path, *, as_json: bool, where: Where) -> int:
    """Run every line of ``file``; status 1 when any does not finish. Raises WanTuiError.

    With a wrong line nothing is queued: every one that is wrong is told, and the status is 2. An agent that runs is
    asked about its deployments, whatever is configured here; files of another host are checked when a line is queued,
    and then it takes all lines or none.
    """
    lines = read_lines(file)
    if not where.agent_is_there:
        settings = load_settings(config)
        wanted = settings.deployment(deployment)
        model = load_catalogue().find(wanted.model)
        clip, here = default_clip(model, wanted.defaults), Here(model, settings.limits)
        found = read_batch(file, lines, deployment, clip, here)
    else:
        found = None
    began = time.monotonic()

    async def work(client: Client) -> tuple[list[str], list[Job]]:
        snapshot = await first_snapshot(client)
        if found is None:
            status = snapshot.deployment(deployment)
            if status is None:
                raise unknown_name("deployment", deployment, [known.name for known in snapshot.deployments])
            here = None if where.host else _known_here(status.model)
            requests, problems = read_batch(file, lines, deployment, status.defaults, here)
            problems = [*problems, *await _refusals(client, file, requests)]
            problems.sort(key=lambda problem: int(problem.removeprefix(f"{file}:").partition(":")[0]))
        else:
            requests, problems = found
        if problems:
            return problems, []
        return [], await _run(client, deployment, requests, as_json=as_json, embedded=where.embedded)

    problems, jobs = (found[1], []) if found is not None and found[1] else run_on(where, config, work)
    if problems:
        sys.stderr.writelines(f"wan-tui: {problem}\n" for problem in problems)
        return UsageError.exit_status
    counts = Counter(job.state for job in jobs)
    states = ", ".join(f"{counts[state]} {state}" for state in JobState if counts[state])
    number = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
    sys.stderr.write(f"{number}: {states}, in {format_seconds(time.monotonic() - began)}\n")
    return 0 if counts[JobState.FINISHED] == len(jobs) else 1


def only_the_deployment(wishes: Wishes) -> str:
    """The deployment of a batch; its lines say all the rest. Raises UsageError when the command line says more."""
    more = [name for name, value in dataclasses.asdict(wishes).items() if value is not None and name != "deployment"]
    if more:
        option = {"timeout_seconds": "timeout", "repeat": "from"}.get(more[0], more[0]).replace("_", "-")
        raise UsageError(f"with --batch every line says what to generate: leave --{option} out")
    if wishes.deployment is None:
        raise UsageError("say with which deployment: wan-tui generate DEPLOYMENT --batch FILE.jsonl")
    return wishes.deployment


@dataclass(frozen=True, slots=True)
class Here:
    """What lines are checked against when their engine is on this host."""

    model: Model
    limits: LimitSettings


def _known_here(model: str) -> Here | None:
    """What an agent on this host leaves to be checked here; it knows its limits itself."""
    try:
        return Here(load_catalogue().find(model), LimitSettings())
    except UsageError:
        return None


async def _refusals(client: Client, file: Path, requests: dict[int, GenerationRequest]) -> list[str]:
    """Lines whose clip the engine would refuse, asked once for each clip."""
    lines: dict[Question, list[int]] = {}
    for number, request in requests.items():
        question = Question(
            deployment=request.deployment,
            width=request.width,
            height=request.height,
            frames=request.frames,
            steps=request.steps,
            guidance=request.guidance,
            remedies=False,
        )
        lines.setdefault(question, []).append(number)
    questions = list(lines)
    problems: dict[int, str] = {}
    for start in range(0, len(questions), MAX_QUESTIONS):
        some = questions[start : start + MAX_QUESTIONS]
        for question, answer in zip(some, await client.assess(some), strict=True):
            problems |= dict.fromkeys(lines[question], answer.refusal) if answer.refusal else {}
    return [f"{file}:{number}: {problem}" for number, problem in sorted(problems.items())]


def read_batch(
    file: Path, lines: dict[int, str], deployment: str, clip: Clip, here: Here | None
) -> tuple[dict[int, GenerationRequest], list[str]]:
    """Requests by the number of their line, and what is wrong, a line each. Raises UsageError for too many."""
    if here is not None and len(lines) > (most := here.limits.max_queued_jobs):
        raise UsageError(f"{file}: {len(lines)} jobs, and the queue takes {most} (limits.max_queued_jobs)")
    requests: dict[int, GenerationRequest] = {}
    problems: list[str] = []
    outputs: dict[str, int] = {}
    for number, line in lines.items():
        try:
            request = BatchLine.model_validate_json(line).request(deployment, clip)
            if here is not None:
                normalise(request, here.model, here.limits)
            if request.output is not None:
                if here is not None:
                    check_output(Path(request.output))
                if (other := outputs.setdefault(request.output, number)) != number:
                    raise UsageError(f"output {request.output}: line {other} writes it; choose another name")
        except ValidationError as error:
            problems.append(f"{file}:{number}: {_problem(error)}")
        except WanTuiError as error:
            problems.append(f"{file}:{number}: {error}")
        else:
            requests[number] = request
    return requests, problems


def _problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    rest = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    key = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "json_invalid" | "model_type":
            return f"not a JSON object: {problem['msg']}"
        case "extra_forbidden":
            return f"{unknown_name('key', key, BatchLine.model_fields)}{rest}"
        case "missing":
            return f"{key}: missing; add it{rest}"
        case _:
            return f"{key} = {problem['input']!r}: {problem['msg']}{rest}"


async def _run(
    client: Client, deployment: str, requests: dict[int, GenerationRequest], *, as_json: bool, embedded: bool
) -> list[Job]:
    """Jobs in the order in which they ended, each told when it does."""
    waiting = await _queue(client, requests)
    narrator = Narrator(sys.stderr)
    try:
        ended = await _follow(client, deployment, waiting, narrator, as_json=as_json)
    except asyncio.CancelledError:
        narrator.close()
        if not embedded:  # Ctrl-C means the jobs; a lost terminal does not come here
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await _cancel(client, waiting)
        raise
    if embedded:
        await client.unload(deployment)
    return ended


async def _follow(
    client: Client, deployment: str, waiting: dict[str, int], narrator: Narrator, *, as_json: bool
) -> list[Job]:
    ended: list[Job] = []
    async for snapshot in client.snapshots():
        for job_id, number in list(waiting.items()):
            job = snapshot.job(job_id)
            status = snapshot.deployment((job and job.replica) or deployment)
            if job is None or status is None:
                raise WanTuiError(f"job {job_id} (line {number}) is no longer known to the engine")
            if job.state is JobState.RUNNING or job_id == next(iter(waiting)):
                narrator.tell(job, status)
            if job.state.ended:
                narrator.close()
                del waiting[job_id]
                ended.append(job)
                _tell(number, job, as_json=as_json)
        if not waiting:
            return ended
    raise WanTuiError("the engine ended before the jobs did")


async def _queue(client: Client, requests: dict[int, GenerationRequest]) -> dict[str, int]:
    """All of them or none. Line numbers by the ids of their jobs."""
    queued: dict[str, int] = {}
    for number, request in requests.items():
        try:
            queued[await client.generate(request)] = number
        except WanTuiError as error:
            await _cancel(client, queued)
            raise type(error)(f"line {number}: {error}; nothing was queued") from None
    return queued


async def _cancel(client: Client, jobs: Iterable[str]) -> None:
    for job_id in jobs:
        with contextlib.suppress(WanTuiError):  # it has ended meanwhile
            await client.cancel(job_id)


def _tell(number: int, job: Job, *, as_json: bool) -> None:
    if as_json:
        record = {"line": number, **dataclasses.asdict(dataclasses.replace(job, preview=None))}
        print(json.dumps(record, ensure_ascii=False), flush=True)
    elif job.state is JobState.FINISHED:
        print(job.output, *job.more_outputs, sep="\n", flush=True)
    if job.state is not JobState.FINISHED:
        why = f"failed ({job.failure.reason}): {job.failure.message}" if job.failure else f"was {job.state}"
        sys.stderr.write(f"line {number}: the generation {why}\n")
