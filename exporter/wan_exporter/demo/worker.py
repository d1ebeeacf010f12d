"""Scripted workers: they say what a real one says, when it would say it, and hold the memory that it would hold."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from typing import Any

from wan_exporter.demo.world import GIB, Card, World
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.gpus import recognise_gpu
from wan_tui.core.planning.duration import DeviceRate, estimate_time, steps_by_expert
from wan_tui.core.planning.flops import forward_flop
from wan_tui.core.planning.memory import estimate_memory
from wan_tui.core.planning.plan import Clip, ExecutionPlan, GenerationRequest, PhaseMemory, StageSeconds
from wan_tui.core.planning.roofline import estimate_on_device
from wan_tui.core.runtime import protocol
from wan_tui.core.runtime.launcher import WorkerExit
from wan_tui.core.words import Expert, JobFailureReason, LoadFailureReason, Phase

HEARTBEAT_SECONDS = 15.0
IMPORT_SECONDS = 7.0
SHARD_SECONDS = 60.0
DISK_BYTES_PER_SECOND = 2.6e9
EXPERTS = {Phase.DENOISE_HIGH_NOISE: Expert.HIGH_NOISE, Phase.DENOISE_LOW_NOISE: Expert.LOW_NOISE}
# How much of the tensor cores each phase keeps busy.
LOADS = {Phase.TEXT_ENCODE: 0.6, Phase.VAE_DECODE: 0.8, Phase.WRITE_OUTPUT: 0.05}
Hear = Callable[[protocol.Event], None]
Gone = Callable[[WorkerExit], None]


class DemoLauncher:
    """Starts scripted workers on the cards of ``world``. ``seed`` decides how much their durations vary."""

    def __init__(self, world: World, seed: int = 7) -> None:
        self._world = world
        self._pids = count(50_001)
        self._random = random.Random(seed)
        self.workers: list[DemoWorker] = []

    async def start(self, plan: ExecutionPlan, on_event: Hear, on_exit: Gone) -> "DemoWorker":
        worker = DemoWorker(self._world, plan, next(self._pids), self._random, on_event, on_exit)
        self.workers = [*(other for other in self.workers if other.alive), worker]
        return worker

    def crash(self, card: Card, last_words: str) -> None:
        """End every worker on ``card`` as a CUDA error would."""
        for worker in self.workers:
            if worker.alive and worker.card is card:
                worker.end(WorkerExit(1, (last_words,)))


class DemoWorker:
    """One scripted worker process; everything happens on the engine's loop."""

    def __init__(
        self, world: World, plan: ExecutionPlan, pid: int, chance: random.Random, on_event: Hear, on_exit: Gone
    ) -> None:
        self.pid, self.alive = pid, True
        self._world, self._plan, self._random = world, plan, chance
        self.card = world.card(plan.gpu_uuid)
        self._on_event, self._on_exit = on_event, on_exit
        self._held = PhaseMemory(phase=Phase.IDLE, weights_bytes=0, activation_bytes=0, context_bytes=0)
        self._peak_bytes = 0
        self._cancelled: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def send(self, command: protocol.Command) -> None:
        match command:
            case protocol.Load():
                self._load = command
                self._begin(self._loading(command))
            case protocol.Generate():
                self._begin(self._generating(command))
            case protocol.Cancel():
                self._cancelled.add(command.job)
            case protocol.Exit():
                pass  # stop() follows

    async def stop(self, command: protocol.Command, grace_seconds: float = 5.0) -> None:
        # A process inside a hanging driver call does not end, whatever signal it gets.
        await self._answers()
        await asyncio.sleep(0.3)
        self.end(WorkerExit(0, ()))

    def end(self, how: WorkerExit) -> None:
        if not self.alive:
            return
        self.alive = False
        for task in self._tasks:
            task.cancel()
        if self.card is not None:
            self.card.load = 0.0
            if not (self.card.leaks and self.pid in self.card.workers):
                self.card.workers.pop(self.pid, None)
        self._on_exit(how)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks = [*(task for task in self._tasks if not task.done()), asyncio.create_task(work)]

    def _say(self, event: protocol.Event) -> None:
        if self.alive:
            self._on_event(event)

    async def _answers(self) -> None:
        """Past every hanging driver call."""
        if self.card is not None:
            await self._world.answers.wait()

    # --- loading ---

    async def _loading(self, command: protocol.Load) -> None:
        model = load_catalogue().find(command.model)
        await asyncio.sleep(IMPORT_SECONDS * self._random.uniform(0.9, 1.2))
        libraries = self._world.libraries()
        self._say(
            protocol.Hello(
                pid=self.pid,
                torch_version=libraries["torch"],
                diffusers_version=libraries["diffusers"],
                transformers_version=libraries["transformers"],
                cuda_version="13.0" if self.card else None,
            )
        )
        self._begin(self._beating())
        began, clip = time.monotonic(), _clip_of(model)
        parts = model.components
        for number, (role, part) in enumerate(parts):
            await self._answers()
            await self._read(role, part.published_bytes, number / len(parts))
            self._hold(self._idle_memory(model, clip, share=(number + 1) / len(parts)))
        if self.card is not None and self.card.loads_fail:
            self._say(protocol.LoadFailed(reason=LoadFailureReason.OUT_OF_MEMORY, message="CUDA out of memory"))
            self.end(WorkerExit(1, ("CUDA out of memory",)))
            return
        self._say(protocol.LoadStage(stage="measure", progress_ratio=0.95))
        await asyncio.sleep(2.0)
        self._say(protocol.Loaded(seconds=time.monotonic() - began, rate=self._rate(model)))

    async def _read(self, role: str, size_bytes: int, progress_ratio: float) -> None:
        """Read weights, shard by shard: a slow disk is slow, not silent."""
        seconds = size_bytes / DISK_BYTES_PER_SECOND * self._random.uniform(0.95, 1.15) * self._world.disk_slowness
        shards = int(seconds // SHARD_SECONDS) + 1
        for _ in range(shards):
            self._say(protocol.LoadStage(stage=role, progress_ratio=progress_ratio))
            await asyncio.sleep(seconds / shards)

    def _rate(self, model: Model) -> DeviceRate:
        """What a measurement would find: the rates of the card's published figures under this plan."""
        clip = _clip_of(model)
        card = recognise_gpu("NVIDIA H100 80GB HBM3", 81_559 << 20, (9, 0))
        found = estimate_on_device(model, card, self._plan, clip)
        seconds = {stage.stage: stage.seconds.expected for stage in found.stages}
        denoising = sum(seconds.get(phase, 0.0) for phase in EXPERTS)
        forward = denoising / clip.steps / (2 if clip.guidance > 1 else 1)
        decode = seconds[Phase.VAE_DECODE] / model.latent_frames(clip.frames)
        return DeviceRate(
            text_encode_seconds=seconds.get(Phase.TEXT_ENCODE, 1.0),
            forward_floor_seconds=0.02,
            forward_flop_per_second=forward_flop(model, model.tokens(clip.width, clip.height, clip.frames)) / forward,
            decode_floor_seconds=0.01,
            decode_pixels_per_second=clip.width * clip.height / decode,
        )

    # --- generating ---

    async def _generating(self, command: protocol.Generate) -> None:
        request, job = command.request, command.job
        model = load_catalogue().find(self._load.model)
        memory = {phase.phase: phase for phase in estimate_memory(model, self._plan, request.clip).phases}
        done: list[StageSeconds] = []
        peaks: list[protocol.PhasePeak] = []
        for stage in self._stages(model, request):
            await self._answers()
            self._say(protocol.PhaseStarted(job=job, phase=stage.stage))
            self._hold(self._swollen(memory.get(stage.stage, self._held)))
            self._work(LOADS.get(stage.stage, 0.95))
            if self.card is not None and self.card.out_of_memory and stage.stage is Phase.VAE_DECODE:
                await asyncio.sleep(min(stage.seconds, 4.0))
                self._rest(model, request.clip)
                text = "CUDA out of memory: tried to allocate 9.42 GiB"
                reason = JobFailureReason.OUT_OF_MEMORY
                self._say(protocol.JobFailed(job=job, phase=stage.stage, reason=reason, message=text))
                return
            taken = await self._stage(job, stage, request.steps, model)
            if job in self._cancelled:
                self._rest(model, request.clip)
                self._say(protocol.JobCancelled(job=job))
                return
            done.append(StageSeconds(stage.stage, taken))
            held = self._held
            peaks.append(
                protocol.PhasePeak(
                    phase=stage.stage,
                    allocated_bytes=held.weights_bytes + held.activation_bytes,
                    reserved_bytes=held.total_bytes - held.context_bytes,
                )
            )
        self._rest(model, request.clip)
        self._say(
            protocol.JobFinished(
                job=job,
                output=command.output,
                seconds=sum(stage.seconds for stage in done),
                stages=tuple(done),
                video_seconds=request.frames / model.fps,
                peaks=tuple(peaks) if self.card is not None else (),
            )
        )

    def _stages(self, model: Model, request: GenerationRequest) -> Iterator[StageSeconds]:
        truth = estimate_time(
            model,
            self._rate(model),
            width=request.width,
            height=request.height,
            frames=request.frames,
            steps=request.steps,
            guidance=request.guidance,
        )
        luck = self._random.lognormvariate(0.0, 0.03)
        return (StageSeconds(stage.stage, stage.seconds * luck) for stage in truth.stages if stage.seconds > 0)

    async def _stage(self, job: str, stage: StageSeconds, all_steps: int, model: Model) -> float:
        """Take the time of a stage, step by step where it has steps; returns the seconds that it took."""
        expert = EXPERTS.get(stage.stage)
        steps = dict(steps_by_expert(model, all_steps)).get(stage.stage, 1) if expert else 1
        first = all_steps - steps if stage.stage is Phase.DENOISE_LOW_NOISE else 0
        taken = 0.0
        for number in range(steps):
            await self._answers()
            if job in self._cancelled:
                break
            slowness = self.card.slowness if self.card else 1.0
            seconds = stage.seconds / max(steps, 1) * slowness * self._random.uniform(0.97, 1.03)
            await asyncio.sleep(seconds)
            taken += seconds
            if expert:
                step = first + number + 1
                self._say(protocol.StepDone(job=job, step=step, steps=all_steps, expert=expert, seconds=seconds))
        return taken

    def _swollen(self, memory: PhaseMemory) -> PhaseMemory:
        """More than planned, where the script has the estimates drift."""
        bloat = self.card.bloat if self.card else 1.0
        extra = int((bloat - 1.0) * memory.total_bytes)
        return PhaseMemory(
            phase=memory.phase,
            weights_bytes=memory.weights_bytes,
            activation_bytes=memory.activation_bytes + extra,
            context_bytes=memory.context_bytes,
            workspace_bytes=memory.workspace_bytes,
            slack_bytes=memory.slack_bytes,
        )

    def _rest(self, model: Model, clip: Clip) -> None:
        self._hold(self._idle_memory(model, clip))
        self._work(0.0)

    def _idle_memory(self, model: Model, clip: Clip, share: float = 1.0) -> PhaseMemory:
        """Between jobs, or with ``share`` of the weights loaded."""
        memory = estimate_memory(model, self._plan, clip)
        context = memory.phases[0].context_bytes
        weights = int((memory.loaded_bytes - context) * share)
        return PhaseMemory(phase=Phase.IDLE, weights_bytes=weights, activation_bytes=0, context_bytes=context)

    def _work(self, load: float) -> None:
        if self.card is not None:
            self.card.load = load

    def _hold(self, memory: PhaseMemory) -> None:
        self._held = memory
        self._peak_bytes = max(self._peak_bytes, memory.total_bytes - memory.context_bytes)
        if self.card is not None and self.alive:
            self.card.workers[self.pid] = memory.total_bytes
        self._heartbeat()

    def _heartbeat(self) -> None:
        held = self._held
        reserved = held.total_bytes - held.context_bytes
        self._say(
            protocol.Memory(
                resident_bytes=int(9.5 * GIB),
                allocated_bytes=held.weights_bytes + held.activation_bytes if self.card else None,
                reserved_bytes=reserved if self.card else None,
                peak_bytes=self._peak_bytes if self.card else None,
            )
        )

    async def _beating(self) -> None:
        while self.alive:
            await self._answers()
            self._heartbeat()
            await asyncio.sleep(HEARTBEAT_SECONDS)


def _clip_of(model: Model) -> Clip:
    width, height = model.default_size
    return Clip(
        width=width,
        height=height,
        frames=model.default_frames,
        steps=model.default_steps,
        guidance=model.default_guidance,
    )
