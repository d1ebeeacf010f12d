"""``python -m wan_tui.worker.bench``: one plan measured on several clips, in a process whose peaks are its own.

A JSON job (``BenchJob``) comes on standard input; results go to standard output, one JSON object a line, each written
out at once. The clips are made by the very code that makes a deployment's, so what is measured is what will happen.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import BinaryIO

import diffusers
import torch
import transformers
from PIL import Image

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.planning.plan import Clip, GenerationRequest
from wan_tui.core.runtime.benching import (
    Began,
    BenchEvent,
    BenchJob,
    BenchWeights,
    Ended,
    Outcome,
    PhaseMeasured,
    Ready,
    decode_job,
    encode_line,
)
from wan_tui.core.runtime.protocol import (
    Event,
    Generate,
    Hello,
    JobFailed,
    JobFinished,
    Load,
    LoadFailed,
    LoadStage,
    PhaseStarted,
    ProtocolError,
    StepDone,
)
from wan_tui.core.words import JobFailureReason, LoadFailureReason, Phase
from wan_tui.worker.channel import Channel
from wan_tui.worker.failures import is_out_of_memory
from wan_tui.worker.generate import Generator
from wan_tui.worker.load import LoadedModel, LoadError, load_pipeline
from wan_tui.worker.measure import compile_pipeline, measure_rate
from wan_tui.worker.peaks import PeakMeter
from wan_tui.worker.synthetic import build_synthetic

PARENT_LOOK_SECONDS = 0.5
PROMPT = "a red circle moving right over a dark background, slowly at first, then faster"


class Results:
    """Writes results, each at once; ends the process when nobody reads them any more."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def send(self, event: BenchEvent) -> None:
        try:
            self._stream.write(encode_line(event))
            self._stream.flush()
        except OSError:
            os._exit(0)


class Recorder(Channel):
    """In the place of the socket to an engine: turns what a generation tells into figures of its phases."""

    def __init__(self, results: Results, meter: PeakMeter) -> None:
        self._results = results
        self._meter = meter
        self._clip = 0
        self._phase: Phase | None = None
        self._steps: list[float] = []
        self._run_began = self._phase_began = time.perf_counter()

    def begin(self, clip: int) -> None:
        """What comes next is about clip number ``clip``."""
        self._clip, self._phase = clip, None
        self._results.send(Began(clip=clip))
        self._meter.restart()
        self._run_began = time.perf_counter()

    def send(self, event: Event) -> None:
        match event:
            case PhaseStarted():
                # The device has been waited for: neither seconds nor bytes leak into the next phase.
                self._close_phase()
                self._phase = event.phase
            case StepDone():
                self._steps.append(event.seconds)
            case JobFinished():
                self._close_phase()
                self._results.send(Ended(clip=self._clip, outcome=Outcome.FINISHED, seconds=event.seconds))
            case JobFailed():
                short = event.reason is JobFailureReason.OUT_OF_MEMORY
                ended = Ended(
                    clip=self._clip,
                    outcome=Outcome.OUT_OF_MEMORY if short else Outcome.FAILED,
                    seconds=time.perf_counter() - self._run_began,
                    phase=event.phase,
                    reason=event.message,
                    peak=self._meter.peak(),
                )
                self._results.send(ended)

    def is_cancelled(self, job: str) -> bool:
        return False

    def _close_phase(self) -> None:
        now = time.perf_counter()
        if self._phase is not None:
            measured = PhaseMeasured(
                clip=self._clip,
                phase=self._phase,
                seconds=now - self._phase_began,
                step_seconds=tuple(self._steps),
                peak=self._meter.peak(),
            )
            self._results.send(measured)
        self._steps = []
        self._meter.restart()
        self._phase_began = time.perf_counter()


def main() -> int:
    """Run the job on standard input. Status 2 when it is none, 1 when its weights could not be loaded."""
    # Whatever a library prints goes to standard error: the results are alone on their stream.
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        job = decode_job(sys.stdin.buffer.readline())
    except ProtocolError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if job.parent is not None:
        threading.Thread(target=_end_with, args=(job.parent,), name="parent", daemon=True).start()
    return _run(job, Results(results))


def _end_with(parent: int) -> None:
    """A benchmark that nobody waits for any more must not keep the device."""
    while os.getppid() == parent:
        time.sleep(PARENT_LOOK_SECONDS)
    os._exit(0)


def _run(job: BenchJob, results: Results) -> int:
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    hello = Hello(
        pid=os.getpid(),
        torch_version=torch.__version__,
        diffusers_version=diffusers.__version__,
        transformers_version=transformers.__version__,
        cuda_version=torch.version.cuda,
    )
    results.send(hello)
    on_gpu = job.plan.device != "cpu" and torch.cuda.is_available()
    meter = PeakMeter(torch.device("cuda", 0) if on_gpu else torch.device("cpu"), job.plan.gpu_uuid)
    try:
        began = time.perf_counter()
        loaded = _load(job, results)
        if on_gpu:
            torch.cuda.synchronize()
            # What making the weights needed for a moment is no part of what running them reserves.
            torch.cuda.empty_cache()
        seconds, peak = time.perf_counter() - began, meter.peak()
        if loaded.plan.compile:
            compile_pipeline(loaded)
        ready = Ready(seconds=seconds, peak=peak, rate=measure_rate(loaded))
        recorder = Recorder(results, meter)
        generator = Generator(loaded, recorder)
    except Exception as error:
        results.send(_load_failure(error))
        return 1
    results.send(ready)
    _make_clips(job, loaded, generator, recorder)
    return 0


def _load(job: BenchJob, results: Results) -> LoadedModel:
    def report(stage: str, ratio: float) -> None:
        results.send(LoadStage(stage=stage, progress_ratio=ratio))

    model = load_catalogue().find(job.model)
    if job.weights is BenchWeights.SYNTHETIC:
        return build_synthetic(model, job.plan, report, seed=job.seed)
    command = Load(model=model.id, plan=job.plan, checkpoint=job.checkpoint, cache_directory=job.cache_directory)
    return load_pipeline(model, command, report)


def _load_failure(error: Exception) -> LoadFailed:
    if isinstance(error, LoadError):
        return LoadFailed(reason=error.reason, message=str(error))
    reason = LoadFailureReason.OUT_OF_MEMORY if is_out_of_memory(error) else LoadFailureReason.INTERNAL
    text = " ".join(str(error).split()) or type(error).__name__
    return LoadFailed(reason=reason, message=f"while measuring the device's rate: {text}")


def _make_clips(job: BenchJob, loaded: LoadedModel, generator: Generator, recorder: Recorder) -> None:
    with tempfile.TemporaryDirectory(prefix="wan-tui-bench-") as scratch:
        image = None
        if loaded.model.task.needs_image:
            image = str(Path(scratch, "picture.png"))
            Image.effect_noise((832, 480), 64).convert("RGB").save(image)
        for number, clip in enumerate(job.clips):
            output = Path(scratch, f"{number}.mp4")
            recorder.begin(number)
            generator.run(Generate(job=str(number), request=_request(clip, job.seed, image), output=str(output)))
            output.unlink(missing_ok=True)


def _request(clip: Clip, seed: int, image: str | None) -> GenerationRequest:
    return GenerationRequest(
        deployment="bench",
        prompt=PROMPT,
        width=clip.width,
        height=clip.height,
        frames=clip.frames,
        steps=clip.steps,
        guidance=clip.guidance,
        seed=seed,
        image=image,
    )


if __name__ == "__main__":
    raise SystemExit(main())
