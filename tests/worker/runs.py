"""Loads of the pocket model under any plan, and runs of it in this process."""

import dataclasses
import itertools
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from diffusers import WanTransformer3DModel

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.plan import ExecutionPlan, GenerationRequest
from wan_tui.core.runtime.outputs import names_of, sidecar_of
from wan_tui.core.runtime.protocol import Event, Generate, JobFinished, Load, StepDone
from wan_tui.core.words import Expert, Phase
from wan_tui.worker import saving
from wan_tui.worker.generate import Generator
from wan_tui.worker.load import LoadedModel, load_pipeline
from wan_tui.worker.pocket import ensure_pocket

MODEL = load_catalogue().find("t2v-pocket")
SHAPE: dict[str, Any] = {"width": 64, "height": 64, "frames": 9, "steps": 4, "guidance": 4.0, "seed": 1}
_PHASES = {Expert.HIGH_NOISE: Phase.DENOISE_HIGH_NOISE, Expert.LOW_NOISE: Phase.DENOISE_LOW_NOISE}


def load(
    folder: Path,
    *,
    base: ExecutionPlan | None = None,
    transformer: str | None = None,
    transformer_2: str | None = None,
    loras: tuple[Any, ...] = (),
    **changes: Any,
) -> LoadedModel:
    """The pocket model under a plan that differs from plain fp32 on the processor by ``changes``."""
    command = Load(
        model=MODEL.id,
        plan=dataclasses.replace(base or cpu_plan(), **changes),
        checkpoint=None,
        cache_directory=str(folder),
        transformer=transformer,
        transformer_2=transformer_2,
        loras=loras,
    )
    return load_pipeline(MODEL, command, lambda stage, ratio: None)


class Ears:
    """Hears what a generator says; nobody cancels."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def send(self, event: Event) -> None:
        self.heard.append(event)

    def is_cancelled(self, job: str) -> bool:
        return False


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """``clips`` are the frames as they were before they became H.264; ``experts`` the phase of each step."""

    finished: JobFinished
    clips: Sequence[np.ndarray]
    sidecars: Sequence[dict[str, Any]]
    experts: Sequence[Phase]

    @property
    def frames(self) -> np.ndarray:
        return self.clips[0]


_numbers = itertools.count(1)


def run(loaded: LoadedModel, *, folder: Path | None = None, **changes: Any) -> Run:
    """One generation of ``SHAPE`` with ``changes``, by the worker's own generator."""
    request = GenerationRequest(deployment="pocket", **{"prompt": "a red circle", **SHAPE, **changes})
    clips: list[np.ndarray] = []
    fingerprint = saving.frames_sha256

    def keep(frames: np.ndarray) -> str:
        clips.append(frames)
        return fingerprint(frames)

    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        outputs = [str(name) for name in names_of(place / "clip.mp4", request.videos)]
        ears = Ears()
        saving.frames_sha256 = keep
        try:
            command = Generate(
                job=str(next(_numbers)), request=request, output=outputs[0], more_outputs=tuple(outputs[1:])
            )
            Generator(loaded, ears).run(command)  # type: ignore[arg-type]
        finally:
            saving.frames_sha256 = fingerprint
        finished = ears.heard[-1]
        assert isinstance(finished, JobFinished), finished
        sidecars = [json.loads(sidecar_of(Path(name)).read_text()) for name in outputs]
    steps = [_PHASES[event.expert] for event in ears.heard if isinstance(event, StepDone)]
    return Run(finished, clips, sidecars, steps)


def made(loaded: LoadedModel, **changes: Any) -> np.ndarray:
    """Frames of one generation."""
    return run(loaded, **changes).frames


def psnr(made: np.ndarray, plain: np.ndarray) -> float:
    """In dB, of 8-bit values; infinite for equal ones."""
    error = float(((made.astype(np.float64) - plain.astype(np.float64)) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def latents(loaded: LoadedModel) -> torch.Tensor:
    """Latents of a clip by the pipeline alone, without what the worker does around it."""
    pipeline = loaded.pipeline
    with torch.no_grad():
        prompt, negative = pipeline.encode_prompt("a red circle", "", device=loaded.text_device)
        with loaded.without_text_encoder():
            result = pipeline(
                prompt_embeds=prompt,
                negative_prompt_embeds=negative,
                width=64,
                height=64,
                num_frames=9,
                num_inference_steps=3,
                generator=torch.Generator().manual_seed(1),
                output_type="latent",
            )
    found: torch.Tensor = result.frames
    assert torch.isfinite(found).all()
    return found.float()


def write_gguf(cache: Path, folder: Path, kind: str) -> tuple[Path, Path]:
    """Both experts of the pocket model as GGUF files whose block matrices are stored as ``kind`` of ggml."""
    checkpoint = ensure_pocket(MODEL, cache)
    files = []
    for role in ("transformer", "transformer_2"):
        network = WanTransformer3DModel.from_pretrained(checkpoint, subfolder=role, dtype=torch.float32)
        file = folder / f"{role}-{kind}.gguf"
        writer = gguf.GGUFWriter(file, "wan")
        for name, weight in network.state_dict().items():
            values, stored = weight.float().numpy(), gguf.GGMLQuantizationType.F32
            if values.ndim == 2 and name.startswith("blocks.") and values.shape[1] % 32 == 0:
                stored = gguf.GGMLQuantizationType[kind]
                values = gguf.quants.quantize(values, stored)
            writer.add_tensor(name, values, raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        files.append(file)
    return files[0], files[1]
