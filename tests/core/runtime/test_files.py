"""A deployment with files of its own: prepared copies, GGUF transformers, LoRAs, through engine and worker."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import WanPipeline
from safetensors.torch import load_file, save_file

from tests.core.runtime.harness import deployment, job, request, settings, until
from tests.core.validation.transformer_parts import write_gguf
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import JobFailureReason, JobState, LoadState, Quantization
from wan_tui.worker.pocket import ensure_pocket

MODEL = load_catalogue().find("t2v-pocket")
FILE = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def checkpoint(pocket_cache: Path, home: Path) -> Path:
    folder = home / "pocket"
    shutil.copytree(ensure_pocket(MODEL, pocket_cache), folder)
    return folder


def chosen(checkpoint: Path, **values: object) -> DeploymentSettings:
    return DeploymentSettings.model_validate(
        {"model": "t2v-pocket", "profile": "cpu", "checkpoint": str(checkpoint), **values}
    )


async def run(home: Path, wanted: DeploymentSettings) -> tuple[Snapshot, str]:
    """Load, generate once; the last snapshot and the job's id."""
    async with Engine(settings(home, pocket=wanted)) as engine:
        await engine.load("pocket")
        await until(engine, lambda s: deployment(s).state in (LoadState.LOADED, LoadState.FAILED))
        job_id = await engine.generate(request())
        return await until(engine, lambda s: job(s, job_id).state.ended), job_id


def said(snapshot: Snapshot) -> str:
    return "\n".join(event.message for event in snapshot.log.events)


async def test_a_load_tells_what_it_cast(home: Path, checkpoint: Path) -> None:
    done, job_id = await run(home, chosen(checkpoint))
    assert job(done, job_id).state is JobState.FINISHED
    assert "transformer cast from F16" in said(done)


async def test_gguf_files_decide_the_plan_and_are_checked(home: Path, checkpoint: Path) -> None:
    files = {}
    for role in ("transformer", "transformer_2"):
        tensors = {name: tensor.numpy() for name, tensor in load_file(checkpoint / role / FILE).items()}
        files[role] = str(write_gguf(home / f"{role}.gguf", tensors))
        # Everything but the transformers comes from the checkpoint: theirs need not be there.
        (checkpoint / role / FILE).unlink()
    done, job_id = await run(home, chosen(checkpoint, **files))
    assert job(done, job_id).state is JobState.FINISHED, job(done, job_id).failure
    found = deployment(done).compatibility.plan
    assert found is not None
    assert found.quantization is Quantization.Q8_0
    assert "transformer q8_0 from transformer.gguf" in said(done)


async def test_a_lora_changes_the_clip(home: Path, checkpoint: Path) -> None:
    width = MODEL.transformer.config["num_attention_heads"] * MODEL.transformer.config["attention_head_dim"]
    layers = {
        "blocks.0.attn1.to_q.lora_A.weight": torch.ones(4, width),
        "blocks.0.attn1.to_q.lora_B.weight": torch.ones(width, 4),
    }
    WanPipeline.save_lora_weights(home / "lora", transformer_lora_layers=layers)
    lora = {"path": str(home / "lora" / "pytorch_lora_weights.safetensors"), "weight": 0.5, "expert": "high_noise"}
    done, job_id = await run(home, chosen(checkpoint, loras=[lora]))
    assert job(done, job_id).state is JobState.FINISHED, job(done, job_id).failure


async def test_a_file_that_is_not_there_fails_the_load_with_its_name(home: Path, checkpoint: Path) -> None:
    lora = {"path": str(home / "nothing.safetensors")}
    async with Engine(settings(home, pocket=chosen(checkpoint, loras=[lora]))) as engine:
        await engine.load("pocket")
        failed = await until(engine, lambda s: deployment(s).state is LoadState.FAILED)
    assert "nothing.safetensors: there is no such file" in str(deployment(failed).failure)


async def test_a_checkpoint_that_changes_under_its_worker_fails_the_job(home: Path, checkpoint: Path) -> None:
    vae = checkpoint / "vae" / FILE
    save_file({name: tensor.float() for name, tensor in load_file(vae).items()}, vae, metadata={"format": "pt"})
    async with Engine(settings(home, pocket=chosen(checkpoint))) as engine:
        await engine.load("pocket")
        await until(engine, lambda s: deployment(s).state is LoadState.LOADED)
        with vae.open("r+b") as file:
            file.truncate(vae.stat().st_size - 100_000)
        job_id = await engine.generate(request())
        done = await until(engine, lambda s: job(s, job_id).state.ended)
    failed = job(done, job_id)
    assert failed.state is JobState.FAILED
    assert failed.failure is not None
    assert failed.failure.reason is JobFailureReason.CHECKPOINT
    assert "checkpoint changed under the worker" in failed.failure.message
