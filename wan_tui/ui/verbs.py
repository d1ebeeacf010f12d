"""What can be typed after ``:`` and chosen from the palette: a verb and its arguments.

A new command is one entry in ``VERBS``. ``run`` gets the app and the arguments and raises UsageError for what it
cannot do; ``complete`` gives the words that may stand in the place of the last argument.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.ui import job_verbs
from wan_tui.ui.options import checked
from wan_tui.ui.screens.registry import TABS
from wan_tui.ui.theme import THEMES
from wan_tui.ui.verb import Complete, Run, Verb
from wan_tui.ui.verbs_planning import PLANNING

if TYPE_CHECKING:
    from wan_tui.ui.app import WanTuiApp


def parse(text: str) -> tuple[str, list[str]]:
    """Verb and arguments, quoted as in a shell. Raises UsageError."""
    try:
        words = shlex.split(text.strip().removeprefix(":"))
    except ValueError as error:
        raise UsageError(f"{text!r}: {str(error).lower()}") from None
    return (words[0], words[1:]) if words else ("", [])


def find(name: str) -> Verb:
    """By name or by a beginning that only one has. Raises UsageError."""
    verbs = {verb.name: verb for verb in VERBS}
    if name in verbs:
        return verbs[name]
    begun = [verb for verb in VERBS if verb.name.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise UsageError(f"{name!r} is several commands: {', '.join(verb.name for verb in begun)}")
    raise unknown_name("command", name, verbs)


def execute(app: WanTuiApp, text: str) -> object:
    """Run one line; what ``run`` returns may be awaitable. Raises UsageError."""
    name, given = parse(text)
    if not name:
        return None
    verb = find(name)
    verb.check(given)
    return verb.run(app, given)


def completions(app: WanTuiApp, text: str) -> list[str]:
    """Whole lines (without the colon) that ``text`` may become."""
    typed = text.removeprefix(":")
    head, _, last = typed.rpartition(" ")
    if not head:
        return [verb.name for verb in VERBS if verb.name.startswith(last)]
    try:
        name, given = parse(head)
        verb = find(name)
    except UsageError:
        return []
    candidates = verb.complete(app, given)
    return [f"{head} {shlex.quote(word)}" for word in candidates if word.casefold().startswith(last.casefold())]


def common_beginning(lines: list[str]) -> str:
    if not lines:
        return ""
    first, last = min(lines), max(lines)  # what these two share, those between them share too
    return first[: next((i for i, c in enumerate(first) if last[i : i + 1] != c), len(first))]


# -- what the words of an argument may be


def deployments(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    snapshot = app.session.snapshot
    return () if given or snapshot is None else [deployment.name for deployment in snapshot.deployments]


def unfinished_jobs(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    snapshot = app.session.snapshot
    return () if given or snapshot is None else [job.id for job in snapshot.jobs if not job.state.ended]


def _first(words: Iterable[str]) -> Complete:
    return lambda app, given: () if given else words


# -- what they do


def _known_deployment(app: WanTuiApp, name: str) -> str:
    snapshot = app.session.snapshot
    if snapshot is not None and snapshot.deployment(name) is None:
        raise unknown_name("deployment", name, [deployment.name for deployment in snapshot.deployments])
    return name


def _load(app: WanTuiApp, given: list[str]) -> None:
    app.session.load(_known_deployment(app, given[0]))


def _unload(app: WanTuiApp, given: list[str]) -> None:
    app.base_screen.ask_unload(_known_deployment(app, given[0]))


def _cancel(app: WanTuiApp, given: list[str]) -> None:
    snapshot = app.session.snapshot
    job = snapshot.job(given[0]) if snapshot else None
    if job is None:
        raise unknown_name("job", given[0], [job.id for job in snapshot.jobs] if snapshot else [])
    app.base_screen.ask_cancel(job)


async def _generate(app: WanTuiApp, given: list[str]) -> None:
    await app.generate_with(_known_deployment(app, given[0]) if given else None)


def _theme(app: WanTuiApp, given: list[str]) -> None:
    app.choose_theme(given[0])


def _filter(app: WanTuiApp, given: list[str]) -> None:
    app.base_screen.apply_filter(" ".join(given))


def gpus(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    snapshot = app.session.snapshot
    return () if given or snapshot is None else [str(gpu.index) for gpu in snapshot.gpus]


def _gpu(app: WanTuiApp, given: list[str]) -> None:
    snapshot = app.session.snapshot
    found = [gpu for gpu in snapshot.gpus if given[0] in (str(gpu.index), gpu.uuid)] if snapshot else []
    if not found:
        raise unknown_name("GPU", given[0], gpus(app, []))
    app.base_screen.open_in("gpus", found[0].uuid)


def _log(app: WanTuiApp, given: list[str]) -> None:
    app.base_screen.open_in("log", " ".join(given))


def _log_sources(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    snapshot = app.session.snapshot
    workers = [f"worker {d.name}" for d in snapshot.deployments if d.worker is not None] if snapshot else []
    return () if given else ["events", "agent", *workers]


def _save(app: WanTuiApp, given: list[str]) -> None:
    from wan_tui.ui.screens.log import LogScreen

    screen = app.base_screen
    if not isinstance(screen, LogScreen):
        raise UsageError("save writes a log: open the logs first (key 8)")
    screen.save(Path(given[0]) if given else None)


def _refresh(app: WanTuiApp, given: list[str]) -> None:
    try:
        seconds = float(given[0].removesuffix("s"))
    except ValueError:
        raise UsageError(f"refresh {given[0]}: must be a number of seconds, such as 2") from None
    app.choose_refresh(checked(seconds, "refresh"), slow=app.options.slow_link)
    app.session.say(f"a picture every {seconds:g} s at most")


def _slow(app: WanTuiApp, given: list[str]) -> None:
    if given[0] not in ("on", "off"):
        raise UsageError(f"slow {given[0]}: must be on or off")
    app.choose_refresh(app.options.refresh_seconds, slow=given[0] == "on")
    app.session.say("slow link: a picture every 5 s at most, no previews" if given[0] == "on" else "slow link: off")


def _goto(mode: str) -> Run:
    return lambda app, given: app.action_show(mode)


VERBS: tuple[Verb, ...] = (
    *(Verb(tab.mode, "", f"{tab.title}: {tab.about}", _goto(tab.mode)) for tab in TABS if tab.mode != "generate"),
    Verb("generate", "[DEPLOYMENT]", "Fill in the form for a new job", _generate, deployments),
    Verb("load", "DEPLOYMENT", "Load a deployment", _load, deployments),
    Verb("unload", "DEPLOYMENT", "Unload a deployment; asks when a job runs", _unload, deployments),
    Verb("cancel", "JOB", "Cancel a job; asks first", _cancel, unfinished_jobs),
    Verb("job", "JOB", "All about one job", job_verbs.show, job_verbs.all_jobs),
    Verb("play", "JOB", "Play the video of a job", job_verbs.play, job_verbs.with_video),
    Verb("again", "JOB", "Make it again; or of a whole path to a sidecar", job_verbs.again, job_verbs.all_jobs),
    Verb("edit", "JOB", "Put a job, or a whole path to a sidecar, into the form", job_verbs.edit, job_verbs.all_jobs),
    Verb("move", "JOB PLACES", "Let a waiting job run later; -1 is sooner", job_verbs.move, job_verbs.waiting),
    Verb("remove", "JOB", "Take a job off the list; asks first", job_verbs.remove, job_verbs.all_jobs),
    Verb("batch", "FILE [DEPLOYMENT]", "Queue every line of a JSONL file, or none", job_verbs.batch),
    Verb("export", "FILE", "Write the history to a new .csv or .json file", job_verbs.export),
    Verb("gpu", "INDEX", "All about one GPU", _gpu, gpus),
    Verb("logs", "SOURCE …", "A log: events, agent, worker NAME", _log, _log_sources),
    Verb("save", "[FILE]", "Write the log that is shown to a file", _save),
    *PLANNING,
    Verb("filter", "[WORD] …", "Show only rows with these words; none shows all", _filter),
    Verb("theme", "NAME", "Change the colours", _theme, _first(THEMES)),
    Verb("refresh", "SECONDS", "The least time between two pictures", _refresh, _first(("0.2", "1", "2", "5"))),
    Verb("slow", "ON", "For a slow link: fewer pictures, no previews (on, off)", _slow, _first(("on", "off"))),
    Verb("help", "", "The keys of this screen", lambda app, given: app.action_help()),
    Verb("retry", "", "Try to reach the engine now", lambda app, given: app.action_retry()),
    Verb("quit", "", "Leave; the agent and its jobs go on", lambda app, given: app.action_quit()),
)
