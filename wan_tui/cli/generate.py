"""``wan-tui generate``."""

import asyncio
import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_tui.agent.client import Client
from wan_tui.cli.attach import Where, run_on
from wan_tui.cli.engine import first_snapshot
from wan_tui.cli.progress import Narrator
from wan_tui.cli.repeat import recorded_request, tell_difference
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import Settings, load_settings
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.plan import Clip, GenerationRequest
from wan_tui.core.runtime.outputs import Recorded
from wan_tui.core.runtime.state import Job
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.units import format_seconds
from wan_tui.core.words import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The command line of one generation; None means the deployment's default, or what ``repeat`` recorded."""

    deployment: str | None
    prompt: str | None
    prompt_file: Path | None
    negative_prompt: str | None
    image: Path | None
    output: Path | None
    width: int | None
    height: int | None
    frames: int | None
    steps: int | None
    seed: int | None
    guidance: float | None
    priority: int | None = None
    timeout_seconds: float | None = None
    retries: int | None = None
    requeue: bool | None = None
    videos: int | None = None
    repeat: Path | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for, of which model, and the run that it repeats, if any."""

    request: GenerationRequest
    model: str
    recorded: Recorded | None = None


# Model and default clip of a deployment; raises UsageError for an unknown one.
Lookup = Callable[[str], tuple[str, Clip]]


def generate_video(config: Path | None, wishes: Wishes, *, as_json: bool, where: Where) -> int:
    """Run one generation; prints the file's path (or the job as JSON). Raises WanTuiError."""
    # What is wrong is told before an agent is started; one that runs knows its deployments better.
    prepared = None if where.agent_is_there else to_order(wishes, _configured(load_settings(config)))

    async def work(client: Client) -> tuple[Order, Job]:
        snapshot = await first_snapshot(client)
        order = prepared or to_order(wishes, _offered(snapshot))
        return order, await _run(client, order.request, embedded=where.embedded)

    order, job = run_on(where, config, work)
    model, recorded = order.model, order.recorded
    if as_json:
        print(json.dumps(dataclasses.asdict(dataclasses.replace(job, preview=None)), indent=2, ensure_ascii=False))
    elif job.state is JobState.FINISHED:
        print(job.output, *job.more_outputs, sep="\n")
    if job.state is not JobState.FINISHED:
        why = f"failed ({job.failure.reason}): {job.failure.message}" if job.failure else f"was {job.state}"
        raise WanTuiError(f"the generation {why}")
    if recorded is not None:
        tell_difference(recorded, model, job)
    estimated = f", estimated {format_seconds(job.estimate.total_seconds.expected)}" if job.estimate else ""
    sys.stderr.write(f"generated in {format_seconds(job.observed_seconds)}{estimated}\n")
    return 0


def to_order(wishes: Wishes, lookup: Lookup) -> Order:
    """Raises UsageError for what cannot be meant."""
    if wishes.repeat is not None:
        request, recorded = recorded_request(wishes.repeat)
        request = dataclasses.replace(request, **_given(wishes))
        return Order(request, lookup(request.deployment)[0], recorded)
    if wishes.deployment is None:
        raise UsageError("say with which deployment: wan-tui generate DEPLOYMENT --prompt TEXT")
    model, clip = lookup(wishes.deployment)
    return Order(to_request(wishes, clip), model)


def _configured(settings: Settings) -> Lookup:
    def lookup(name: str) -> tuple[str, Clip]:
        deployment = settings.deployment(name)
        return deployment.model, default_clip(load_catalogue().find(deployment.model), deployment.defaults)

    return lookup


def _offered(snapshot: Snapshot) -> Lookup:
    def lookup(name: str) -> tuple[str, Clip]:
        deployment = snapshot.deployment(name)
        if deployment is None:
            raise unknown_name("deployment", name, [known.name for known in snapshot.deployments])
        return deployment.model, deployment.defaults

    return lookup


def to_request(wishes: Wishes, clip: Clip) -> GenerationRequest:
    """Fill the gaps with the deployment's defaults and make paths absolute. Raises UsageError for a bad prompt."""
    given = _given(wishes)
    if "prompt" not in given:
        given["prompt"] = _prompt(wishes)
    return GenerationRequest(**{**dataclasses.asdict(clip), "seed": 0, **given})


def _given(wishes: Wishes) -> dict[str, Any]:
    """What the command line says, by the fields of a request."""
    values: dict[str, Any] = {
        name: value
        for field in dataclasses.fields(GenerationRequest)
        if (value := getattr(wishes, name := field.name)) is not None
    }
    for name in ("image", "output"):
        if name in values:
            values[name] = str(values[name].absolute())
    if wishes.prompt is not None or wishes.prompt_file is not None:
        values["prompt"] = _prompt(wishes)
    return values


def _prompt(wishes: Wishes) -> str:
    if (wishes.prompt is None) == (wishes.prompt_file is None):
        raise UsageError("give the prompt either with --prompt TEXT or with --prompt-file FILE")
    if wishes.prompt is not None:
        return _encodable(wishes.prompt, "--prompt")
    file = wishes.prompt_file
    assert file is not None
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"prompt file {file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"prompt file {file}: {error.strerror}") from None


def _encodable(text: str, where: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{where}: not UTF-8 text (character {error.start}); check the terminal's encoding") from None
    return text


async def _run(client: Client, request: GenerationRequest, *, embedded: bool) -> Job:
    job_id = await client.generate(request)
    narrator = Narrator(sys.stderr)
    try:
        async for snapshot in client.snapshots():
            job = snapshot.job(job_id)
            deployment = snapshot.deployment((job and job.replica) or request.deployment)
            if job is None or deployment is None:
                break
            narrator.tell(job, deployment)
            if job.state.ended:
                narrator.close()
                if embedded:
                    await client.unload(request.deployment)
                return job
    except asyncio.CancelledError:
        narrator.close()
        if not embedded:  # Ctrl-C means the job; a lost terminal does not come here
            with contextlib.suppress(WanTuiError, TimeoutError):
                async with asyncio.timeout(5):
                    await client.cancel(job_id)
                sys.stderr.write(f"job {job_id} cancelled\n")
        raise
    raise WanTuiError("the engine ended before the job did")
