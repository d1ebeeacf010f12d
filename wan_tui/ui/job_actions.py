"""What a key on a job or a past run does, wherever it is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wan_tui.core.words import JobState
from wan_tui.ui.format_jobs import job_name, shape
from wan_tui.ui.text import Role

if TYPE_CHECKING:
    from wan_tui.core.planning.plan import GenerationRequest
    from wan_tui.core.runtime.state import Job
    from wan_tui.ui.screens.base import BaseScreen


def again(screen: BaseScreen, request: GenerationRequest) -> None:
    """Queue the same once more, under a new name: the same seed makes the same video."""
    asked = replace(request, output=None)
    screen.session.perform(f"generate again with {request.deployment}", lambda client: client.generate(asked))


async def edit(screen: BaseScreen, request: GenerationRequest) -> None:
    """Put the request into the form, to change something before it is made again."""
    app: Any = screen.app  # the app knows the screens, they only know that it has a form
    await app.generate_with(None)
    app.base_screen.take(request)


def play(screen: BaseScreen, job: Job) -> None:
    if job.output is not None:
        from wan_tui.ui.screens.player import Player

        screen.app.push_screen(Player((job.output, *job.more_outputs), job_name(job.id), screen.session))


def copy(screen: BaseScreen, path: str) -> None:
    """By OSC 52: the terminal's clipboard, also through SSH."""
    screen.app.copy_to_clipboard(path)
    screen.session.say(f"copied {path}", Role.OK)


def move(screen: BaseScreen, job: Job, by: int) -> None:
    where = "up" if by < 0 else "down"
    screen.session.perform(f"move {job_name(job.id)} {where}", lambda client: client.move(job.id, by))


def ask_remove(screen: BaseScreen, job: Job) -> None:
    """Take it off the list, after a question: a job that waits is not made."""
    waits = job.state is JobState.QUEUED
    about = f"{job.request.deployment} {shape(job)}, {job.state.value}. "
    about += "It will not be made." if waits else "Its video and the history stay."
    screen.confirm(
        f"Remove {job_name(job.id)} from the list?",
        about,
        lambda: screen.session.perform(f"remove {job_name(job.id)}", lambda client: client.remove(job.id)),
    )
