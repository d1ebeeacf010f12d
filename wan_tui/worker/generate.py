"""One generation, phase by phase, telling the engine what happens while it happens."""

import contextlib
import errno
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image, ImageOps

from wan_tui.core.planning.activations import PROMPT_TOKENS
from wan_tui.core.planning.duration import steps_by_expert
from wan_tui.core.planning.plan import StageSeconds
from wan_tui.core.runtime.protocol import (
    Generate,
    JobCancelled,
    JobFailed,
    JobFinished,
    PhasePeak,
    PhaseStarted,
    PreviewReady,
    StepDone,
)
from wan_tui.core.words import STAGES, Expert, JobFailureReason, Phase
from wan_tui.worker.channel import Channel
from wan_tui.worker.compiling import compiled_seconds
from wan_tui.worker.failures import is_out_of_memory, needed_bytes
from wan_tui.worker.load import LoadedModel
from wan_tui.worker.peaks import PeakMeter
from wan_tui.worker.preview import Previewer
from wan_tui.worker.prompts import Encoded, PromptCache, PromptKey
from wan_tui.worker.saving import Made, video_seed, write_videos
from wan_tui.worker.watched import CheckpointChanged

PREVIEW_SECONDS = 0.5
_OUTPUT_FIXES = {
    errno.ENOSPC: "free some space, then submit it again",
    errno.EDQUOT: "free some space, then submit it again",
    errno.ENOENT: "make the folder again, then submit it again",
}


class Cancelled(Exception):
    """Raised inside a phase to leave it."""


class InvalidRequest(Exception):
    """The request cannot be run as it is, for a reason that only the worker could see."""


class Generator:
    """Runs generations on a loaded model, one after the other.

    ``prompts`` keeps encoded prompts (default: every prompt is encoded). ``meter`` measures the peak of each phase; a
    benchmark brings one of its own to what it listens with, so none is made here. ``reach`` is told each phase
    when it begins and between any two steps, decoded or written frames, and may raise.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        channel: Channel,
        prompts: PromptCache | None = None,
        meter: PeakMeter | None = None,
        reach: Callable[[Phase], object] = lambda phase: None,
    ) -> None:
        self._loaded = loaded
        self._channel = channel
        self._prompts = prompts
        self._meter = meter
        self._reach = reach
        self._previewer = Previewer(loaded)

    def run(self, command: Generate) -> None:
        """Generate and report the end: finished, failed with a reason, or cancelled.

        Raises when the device is broken and nothing can run on it any more.
        """
        ended: JobCancelled | JobFailed | None = None
        phase = Phase.IDLE
        try:
            run = _Run(self._loaded, self._channel, self._previewer, command, self._prompts, self._meter, self._reach)
            try:
                run.generate()
            finally:
                phase = run.phase
                del run
        except Cancelled:
            ended = JobCancelled(job=command.job)
        except Exception as error:
            ended = _failure(error, command, phase)
        # What the run held goes back before its failure is told: whoever hears of it counts on that memory.
        try:
            self._loaded.pipeline.maybe_free_model_hooks()
            if ended is not None:
                gc.collect()
            if self._loaded.device.type == "cuda":
                torch.cuda.empty_cache()
        finally:  # a device that is broken (an illegal access) raises here again, and ends the worker
            if ended is not None:
                self._channel.send(ended)


class _Run:
    """The state of one generation: which phase, since when, how long the others took."""

    def __init__(
        self,
        loaded: LoadedModel,
        channel: Channel,
        previewer: Previewer,
        command: Generate,
        prompts: PromptCache | None,
        meter: PeakMeter | None,
        reach: Callable[[Phase], object],
    ) -> None:
        self._loaded = loaded
        self._reach = reach
        self._prompts, self._prompt_reused = prompts, False
        self._meter = meter
        self._peaks: dict[Phase, PhasePeak] = {}
        self._channel = channel
        self._previewer = previewer
        self._command = command
        self._request = command.request
        self._pipeline = _pipeline_for(loaded, command)
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._phase_began = self._step_began = time.monotonic()
        self._previewed = 0.0
        self._compiling_seconds = self._phase_compiling_seconds = 0.0
        self._compiled_before = compiled_seconds() if loaded.plan.compile else 0.0
        self.phase = Phase.IDLE

    def generate(self) -> None:
        started = time.monotonic()
        with torch.no_grad():
            self._enter(Phase.TEXT_ENCODE)
            prompts = self._encode_prompts()
            latents = self._denoise(prompts)
            self._enter(Phase.VAE_DECODE)
            videos = [self._decode(one.unsqueeze(0)) for one in latents]
        self._enter(Phase.WRITE_OUTPUT)
        made = Made(
            stages=self._stages_so_far, prompt_reused=self._prompt_reused, compile_seconds=self._compiling_seconds
        )
        written = write_videos(self._loaded, self._command, videos, made, self._check)
        self._change(Phase.IDLE)  # the clip is there: nobody can cancel it any more
        finished = JobFinished(
            job=self._command.job,
            output=str(written[0]),
            more_outputs=tuple(str(path) for path in written[1:]),
            seconds=time.monotonic() - started,
            stages=self._stages(),
            video_seconds=sum(len(frames) for frames in videos) / self._loaded.model.fps,
            prompt_reused=self._prompt_reused,
            peaks=tuple(self._peaks.values()),
            compile_seconds=self._compiling_seconds,
            measuring=self._loaded.caches.measuring,
        )
        self._channel.send(finished)

    def _enter(self, phase: Phase) -> None:
        self._check()
        if phase is not self.phase:
            self._change(phase)

    def _change(self, phase: Phase) -> None:
        if self._loaded.device.type == "cuda":
            torch.cuda.synchronize(self._loaded.device)
        now = time.monotonic()
        if self.phase is not Phase.IDLE:
            self._take_compiling()
            self._seconds[self.phase] += max(now - self._phase_began - self._phase_compiling_seconds, 0.0)
            self._note_peak()
        self.phase, self._phase_began, self._step_began = phase, now, now
        self._phase_compiling_seconds = 0.0
        if phase is not Phase.IDLE:
            self._channel.send(PhaseStarted(job=self._command.job, phase=phase))
        if self._meter is not None:
            self._meter.restart()
        self._reach(phase)

    def _take_compiling(self) -> float:
        """Seconds of torch.compile since the last call: paid once, so they count neither as steps nor as stages."""
        if not self._loaded.plan.compile:
            return 0.0
        before, self._compiled_before = self._compiled_before, compiled_seconds()
        lost = self._compiled_before - before
        self._compiling_seconds += lost
        self._phase_compiling_seconds += lost
        return lost

    def _note_peak(self) -> None:
        """Keep the most that the phase which ends held on the device; one that is entered again counts together."""
        found = self._meter.peak() if self._meter is not None else None
        if found is None or found.allocated_bytes is None or found.reserved_bytes is None:
            return
        before = self._peaks.get(self.phase)
        self._peaks[self.phase] = PhasePeak(
            phase=self.phase,
            allocated_bytes=max(found.allocated_bytes, before.allocated_bytes if before else 0),
            reserved_bytes=max(found.reserved_bytes, before.reserved_bytes if before else 0),
        )

    def _stages(self) -> tuple[StageSeconds, ...]:
        return tuple(StageSeconds(stage, seconds) for stage, seconds in self._seconds.items() if seconds)

    def _stages_so_far(self) -> tuple[StageSeconds, ...]:
        """As of now: the seconds of writing are those until the file was whole."""
        self._seconds[Phase.WRITE_OUTPUT] = time.monotonic() - self._phase_began
        stages = self._stages()
        self._seconds[Phase.WRITE_OUTPUT] = 0.0
        return stages

    def _check(self) -> None:
        if self._channel.is_cancelled(self._command.job):
            raise Cancelled
        self._loaded.files.check()
        self._reach(self.phase)

    def _encode_prompts(self) -> dict[str, Any]:
        request = self._request
        guided = request.guidance > 1.0
        quantization = self._loaded.plan.text_encoder_quantization
        key = PromptKey(request.prompt, request.negative_prompt if guided else None, quantization)
        encoded = self._prompts.get(key) if self._prompts is not None else None
        self._prompt_reused = encoded is not None
        if encoded is None:
            prompt, negative = self._pipeline.encode_prompt(
                prompt=request.prompt,
                negative_prompt=request.negative_prompt,
                do_classifier_free_guidance=guided,
                max_sequence_length=PROMPT_TOKENS,
                device=self._loaded.text_device,
            )
            encoded = Encoded(prompt, negative)
            if self._prompts is not None:
                self._prompts.put(key, encoded)
        encoded = encoded.to(self._loaded.device).repeated(request.videos)
        return {"prompt_embeds": encoded.prompt, "negative_prompt_embeds": encoded.negative}

    def _denoise(self, prompts: dict[str, Any]) -> torch.Tensor:
        """Normalised latents. The image of an image-to-video model is encoded inside the pipeline's call."""
        request, model = self._request, self._loaded.model
        arguments = dict(prompts)
        if isinstance(self._pipeline, WanImageToVideoPipeline):
            arguments["image"] = _picture(str(request.image))
            self._enter(Phase.IMAGE_ENCODE)
        if model.default_guidance_low_noise is not None and request.guidance == model.default_guidance:
            arguments["guidance_scale_2"] = model.default_guidance_low_noise
        generators = [
            torch.Generator("cpu").manual_seed(video_seed(request, number)) for number in range(request.videos)
        ]
        self._prepare_caches()
        with self._loaded.without_text_encoder(), self._denoising_begins_after_latents():
            result = self._pipeline(
                **arguments,
                width=request.width,
                height=request.height,
                num_frames=request.frames,
                num_inference_steps=request.steps,
                guidance_scale=request.guidance,
                generator=generators if request.videos > 1 else generators[0],
                output_type="latent",
                callback_on_step_end=self._on_step_end,
            )
        latents: torch.Tensor = result.frames
        return latents

    def _prepare_caches(self) -> None:
        experts = zip(
            (self._pipeline.transformer, self._pipeline.transformer_2),
            steps_by_expert(self._loaded.model, self._request.steps),
            strict=False,
        )
        self._loaded.caches.prepare({phase: (expert, steps) for expert, (phase, steps) in experts})

    @contextlib.contextmanager
    def _denoising_begins_after_latents(self) -> Iterator[None]:
        """Prepared latents are the only sign that a pipeline gives between encoding the image and the first step."""
        prepare = self._pipeline.prepare_latents

        def prepare_latents(*arguments: Any, **keywords: Any) -> Any:
            latents = prepare(*arguments, **keywords)
            self._enter(self._phase_at(None))
            return latents

        self._pipeline.prepare_latents = prepare_latents
        try:
            yield
        finally:
            del self._pipeline.prepare_latents

    def _phase_at(self, timestep: float | None) -> Phase:
        """The expert that takes a timestep; denoising begins with the high-noise one."""
        boundary = self._loaded.model.boundary_ratio
        if timestep is None or boundary is None:
            return Phase.DENOISE_HIGH_NOISE
        high = timestep >= boundary * self._pipeline.scheduler.config.num_train_timesteps
        return Phase.DENOISE_HIGH_NOISE if high else Phase.DENOISE_LOW_NOISE

    def _on_step_end(self, pipeline: Any, index: int, timestep: torch.Tensor, _: dict[str, Any]) -> dict[str, Any]:
        if self._loaded.device.type == "cuda":
            torch.cuda.synchronize(self._loaded.device)
        now = time.monotonic()
        low = self._phase_at(float(timestep)) is Phase.DENOISE_LOW_NOISE
        step = StepDone(
            job=self._command.job,
            step=index + 1,
            steps=self._request.steps,
            expert=Expert.LOW_NOISE if low else Expert.HIGH_NOISE,
            seconds=max(now - self._step_began - self._take_compiling(), 0.0),
        )
        self._channel.send(step)
        last = index + 1 == self._request.steps
        if last or now - self._previewed >= PREVIEW_SECONDS:
            # UniPC keeps its prediction of the finished clip: a far better picture than the noisy latents.
            preview = self._previewer(pipeline.scheduler.model_outputs[-1])
            self._channel.send(PreviewReady(job=self._command.job, preview=preview))
            self._previewed = now
        self._check()
        following = None if last else self._phase_at(float(pipeline.scheduler.timesteps[index + 1]))
        if following is not self.phase:  # the expert that took this step is done
            self._loaded.caches.done(pipeline.transformer_2 if low else pipeline.transformer, self.phase)
        if following is not None:
            self._enter(following)
        self._step_began = time.monotonic()
        return {}

    def _decode(self, latents: torch.Tensor) -> Any:
        """Frames x height x width x 3, uint8. Stops between latent frames when the job is cancelled."""
        vae = self._pipeline.vae
        shape = (1, vae.config.z_dim, 1, 1, 1)
        std = torch.tensor(vae.config.latents_std).view(shape).to(latents)
        mean = torch.tensor(vae.config.latents_mean).view(shape).to(latents)
        hook = vae.decoder.register_forward_pre_hook(lambda *_: self._check())
        try:
            video = vae.decode((latents * std + mean).to(self._loaded.device, vae.dtype), return_dict=False)[0]
        finally:
            hook.remove()
        pixels = (video[0].float().clamp(-1, 1) + 1) * 127.5
        return pixels.round().to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()


def _pipeline_for(loaded: LoadedModel, command: Generate) -> Any:
    """The loaded pipeline, or for a picture given to ti2v the image-to-video one over the same components."""
    if command.request.image is None or isinstance(loaded.pipeline, WanImageToVideoPipeline):
        return loaded.pipeline
    return WanImageToVideoPipeline.from_pipe(loaded.pipeline)


def _picture(path: str) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except OSError as error:
        raise InvalidRequest(f"image {path}: cannot be read ({error})") from None


def _failure(error: Exception, command: Generate, phase: Phase) -> JobFailed:
    reason, message = _describe(error, command, phase)
    needed = needed_bytes(str(error)) if reason is JobFailureReason.OUT_OF_MEMORY else None
    return JobFailed(job=command.job, phase=phase, reason=reason, message=message, needed_bytes=needed)


def _describe(error: Exception, command: Generate, phase: Phase) -> tuple[JobFailureReason, str]:
    text = " ".join(str(error).split()) or type(error).__name__
    if is_out_of_memory(error):
        return JobFailureReason.OUT_OF_MEMORY, f"out of memory in {phase}: {text}"
    if isinstance(error, CheckpointChanged):
        return JobFailureReason.CHECKPOINT, text
    if isinstance(error, InvalidRequest):
        return JobFailureReason.INVALID_REQUEST, text
    if phase is Phase.WRITE_OUTPUT and isinstance(error, OSError) and error.strerror:
        place = f"cannot write the video in {Path(command.output).parent}"
        fix = _OUTPUT_FIXES.get(error.errno or 0, "mend that, then submit it again")
        return JobFailureReason.OUTPUT, f"{place}: {error.strerror}; {fix}"
    if phase is Phase.WRITE_OUTPUT and isinstance(error, OSError | av.error.FFmpegError):
        return JobFailureReason.OUTPUT, f"cannot write the video: {text}"
    return JobFailureReason.INTERNAL, f"{type(error).__name__} in {phase}: {text}"
