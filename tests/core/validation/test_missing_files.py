"""How many files a checkpoint lacks, and which commit it is of."""

import json
from pathlib import Path

import pytest

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.config.settings import PathSettings
from wan_tui.core.validation.findings import ModelFiles
from wan_tui.core.validation.missing_files import files_of_models, missing_files

CATALOGUE = load_catalogue()
MODEL = CATALOGUE.find("t2v-A14B")
COMMIT = "0123456789abcdef" * 2 + "01234567"
EXPERTS = ("transformer", "transformer_2")
SHARDS = 3


def whole(folder: Path) -> Path:
    """A folder with every file that the checkpoint of MODEL needs; their content is not looked at."""
    names = ["model_index.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"]
    for role, component in MODEL.components:
        base = "model" if component.class_name == "UMT5EncoderModel" else "diffusion_pytorch_model"
        shards = [f"{base}-{number}.safetensors" for number in range(SHARDS)]
        names += [f"{role}/config.json", *(f"{role}/{shard}" for shard in shards)]
        index = folder / role / f"{base}.safetensors.index.json"
        index.parent.mkdir(parents=True)
        index.write_text(json.dumps({"weight_map": {f"tensor {shard}": shard for shard in shards}}))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return whole(tmp_path / "models" / MODEL.repository.split("/")[-1])


def found(models: Path, **deployments: DeploymentSettings) -> dict[str, ModelFiles]:
    made = Settings(paths=PathSettings(models=models), deployments=deployments)
    return {files.model: files for files in files_of_models(made, CATALOGUE)}


def test_a_whole_checkpoint_lacks_nothing(checkpoint: Path) -> None:
    assert missing_files(checkpoint, MODEL) == 0


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
        "vae/config.json",
        "transformer_2/diffusion_pytorch_model-1.safetensors",
        "text_encoder/model-0.safetensors",
    ],
)
def test_each_file_that_is_gone_counts(checkpoint: Path, name: str) -> None:
    (checkpoint / name).unlink()
    assert missing_files(checkpoint, MODEL) == 1


def test_weights_without_an_index_are_one_file_that_is_missing(checkpoint: Path) -> None:
    (checkpoint / "vae" / "diffusion_pytorch_model.safetensors.index.json").unlink()
    assert missing_files(checkpoint, MODEL) == 1
    (checkpoint / "vae" / "diffusion_pytorch_model.safetensors").touch()
    assert missing_files(checkpoint, MODEL) == 0


def test_a_link_into_nothing_is_a_missing_file_and_a_broken_one_is_not(checkpoint: Path) -> None:
    config = checkpoint / "vae" / "config.json"
    config.write_text("not JSON")
    assert missing_files(checkpoint, MODEL) == 0
    config.unlink()
    config.symlink_to(checkpoint / "gone")
    assert missing_files(checkpoint, MODEL) == 1


def test_what_single_files_replace_is_not_missing(checkpoint: Path) -> None:
    for role in EXPERTS:
        (checkpoint / role / "config.json").unlink()
    assert missing_files(checkpoint, MODEL) == 2
    assert missing_files(checkpoint, MODEL, EXPERTS) == 0


def test_a_model_that_is_neither_here_nor_deployed_is_not_counted(checkpoint: Path, tmp_path: Path) -> None:
    assert found(checkpoint.parent) == {MODEL.id: ModelFiles(MODEL.id, 0)}
    (nothing,) = found(tmp_path / "empty", story=DeploymentSettings(model=MODEL.id)).values()
    assert nothing.missing == missing_files(None, MODEL) == 3 + 2 * len(MODEL.components)


def test_of_several_checkpoints_the_worst_counts(checkpoint: Path, tmp_path: Path) -> None:
    other = whole(tmp_path / "other")
    (other / "vae" / "config.json").unlink()
    deployments = {
        "good": DeploymentSettings(model=MODEL.id),
        "bad": DeploymentSettings(model=MODEL.id, checkpoint=other),
    }
    assert found(checkpoint.parent, **deployments)[MODEL.id].missing == 1


def test_models_that_are_built_in_need_no_files(tmp_path: Path) -> None:
    assert found(tmp_path) == {}
    small = found(tmp_path, small=DeploymentSettings(model="t2v-pocket"))
    assert small == {"t2v-pocket": ModelFiles("t2v-pocket", 0)}


@pytest.mark.parametrize(("text", "revision"), [(f"{COMMIT}\netag\n0\n", COMMIT), ("main\n", None), ("", None)])
def test_a_download_tells_its_commit(checkpoint: Path, text: str, revision: str | None) -> None:
    record = checkpoint / ".cache" / "huggingface" / "download" / "model_index.json.metadata"
    record.parent.mkdir(parents=True)
    record.write_text(text)
    assert found(checkpoint.parent)[MODEL.id].revision == revision


def test_a_snapshot_of_the_hub_cache_is_named_by_its_commit(tmp_path: Path) -> None:
    folder = whole(tmp_path / "models--a--b" / "snapshots" / COMMIT)
    deployed = DeploymentSettings(model=MODEL.id, checkpoint=folder)
    assert found(tmp_path / "none", story=deployed)[MODEL.id] == ModelFiles(MODEL.id, 0, COMMIT)
