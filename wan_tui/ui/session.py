"""What the screens share: the newest snapshot, the state of the feed, the last word to the operator, and commands."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from wan_tui.agent.client import Client
from wan_tui.core.errors import WanTuiError
from wan_tui.ui.format_jobs import in_order, job_name
from wan_tui.ui.memory import Memory
from wan_tui.ui.options import UiOptions
from wan_tui.ui.text import Role

if TYPE_CHECKING:
    from wan_tui.core.hardware.trace import GpuTrace, GpuTraces
    from wan_tui.core.snapshot import Snapshot

Answer = TypeVar("Answer")
Command = Callable[[Client], Awaitable[str | None]]
_NOTE_SECONDS = {Role.OK: 6.0, Role.ACCENT: 6.0, Role.ERROR: 20.0}


@dataclass(frozen=True, slots=True)
class Note:
    """The answer to the last key, in one line."""

    message: str
    role: Role
    until: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why no snapshots come, and when the next try is."""

    reason: str
    retry_at: float


class Commands(Protocol):
    """The ``:`` line, as far as a screen needs it."""

    def run(self, line: str) -> None: ...

    def complete(self, line: str) -> str:
        """``line`` with what can only follow."""
        ...

    def hint(self, line: str) -> tuple[str, list[str]]:
        """What the command does, and the words that ``line`` may go on with."""
        ...


class Session:
    """Screens read it and ask it for commands; only the app gives it snapshots and ``trouble``."""

    def __init__(
        self,
        *,
        embedded: bool,
        clock: Callable[[], float],
        client: Callable[[], Client | None],
        spawn: Callable[[Coroutine[object, object, None]], object],
        changed: Callable[[], None],
        colour: bool,
        ascii_only: bool,
        commands: Commands,
        memory: Memory,
        options: UiOptions,
    ) -> None:
        self.embedded = embedded
        self.clock = clock
        self.colour = colour
        self.ascii_only = ascii_only
        self.commands = commands
        self.memory = memory
        self.options = options
        self.snapshot: Snapshot | None = None
        self.trouble: Trouble | None = None
        self.note: Note | None = None
        self._client = client
        self._spawn = spawn
        self._changed = changed
        self._asked: dict[str, int] = {}
        self._courses: set[str] = set()

    @functools.cached_property
    def traces(self) -> GpuTraces:
        """The course of every GPU, as far as it was seen from here or asked from the engine."""
        from wan_tui.core.hardware.trace import GpuTraces  # needed after the first frame

        return GpuTraces()

    @property
    def age_seconds(self) -> float | None:
        return None if self.snapshot is None else max(self.clock() - self.snapshot.taken_at, 0.0)

    @property
    def unfinished_jobs(self) -> list[str]:
        """Jobs that would end with an embedded engine, the running one first."""
        return [job_name(job.id) for job in in_order(self.snapshot) if not job.state.ended] if self.snapshot else []

    def take(self, snapshot: Snapshot) -> None:
        """A new snapshot came."""
        before, self.snapshot, self.trouble = self.snapshot, snapshot, None
        known = {gpu.uuid: gpu.sampled_at for gpu in before.gpus} if before else {}
        for gpu in snapshot.gpus:
            if gpu.sampled_at != known.get(gpu.uuid):
                self.traces.add((gpu,), gpu.sampled_at)

    def ask_course(self, uuid: str, done: Callable[[], None]) -> None:
        """Ask once for what the engine knows of the last hour of a GPU, from before this face looked."""
        if uuid in self._courses or self._client() is None:
            return
        self._courses.add(uuid)

        def learn(trace: GpuTrace) -> None:
            self.traces.seed(trace)
            done()

        self.ask(f"course of {uuid}", lambda client: client.gpu_history(uuid), learn, lambda reason: None)

    def say(self, message: str, role: Role = Role.ACCENT) -> None:
        self.note = Note(message, role, self.clock() + _NOTE_SECONDS.get(role, 6.0))
        self._changed()

    def forget_old_note(self) -> None:
        if self.note is not None and self.clock() >= self.note.until:
            self.note = None

    def perform(
        self,
        what: str,
        command: Command,
        done: Callable[[str | None], None] | None = None,
    ) -> None:
        """Acknowledge at once, send the command, and say in one line how the engine answered."""
        client = self._client()
        if client is None:
            self.say(f"{what}: not connected to the engine", Role.ERROR)
            return
        self.say(f"{what}: sent")
        self._spawn(self._perform(what, command(client), done))

    async def _perform(
        self, what: str, answer: Awaitable[str | None], done: Callable[[str | None], None] | None
    ) -> None:
        try:
            result = await answer
        except WanTuiError as error:
            self.say(f"{what}: {error}", Role.ERROR)
        except Exception as error:  # a defect elsewhere must not take the screen down
            self.say(f"{what}: {type(error).__name__}: {error}", Role.ERROR)
        else:
            self.say(f"{what}: accepted" + (f" as {result}" if result else ""), Role.OK)
            if done is not None:
                done(result)

    def ask(
        self,
        topic: str,
        question: Callable[[Client], Awaitable[Answer]],
        done: Callable[[Answer], None],
        failed: Callable[[str], None] | None = None,
    ) -> None:
        """Ask the engine something and go on; ``done`` gets the answer, unless ``topic`` was asked again meanwhile.

        What goes wrong is one line: for ``failed``, else for the status line.
        """
        number = self._asked[topic] = self._asked.get(topic, 0) + 1
        told = failed or (lambda reason: self.say(f"{topic}: {reason}", Role.ERROR))
        client = self._client()
        if client is None:
            told("not connected to the engine")
        else:
            self._spawn(self._ask(topic, number, question(client), done, told))

    async def _ask(
        self,
        topic: str,
        number: int,
        question: Awaitable[Answer],
        done: Callable[[Answer], None],
        failed: Callable[[str], None],
    ) -> None:
        try:
            answer = await question
        except Exception as error:  # a defect elsewhere must not take the screen down
            if self._asked[topic] == number:
                failed(str(error) if isinstance(error, WanTuiError) else f"{type(error).__name__}: {error}")
            return
        if self._asked[topic] == number:
            done(answer)

    def load(self, deployment: str) -> None:
        self.perform(f"load {deployment}", lambda client: client.load(deployment))

    def unload(self, deployment: str) -> None:
        self.perform(f"unload {deployment}", lambda client: client.unload(deployment))

    def cancel(self, job: str) -> None:
        self.perform(f"cancel {job_name(job)}", lambda client: client.cancel(job))
