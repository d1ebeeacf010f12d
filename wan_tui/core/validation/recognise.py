"""Which model of the catalogue a checkpoint is of, from a few facts in headers and configurations."""

from collections.abc import Iterable
from pathlib import Path

from wan_tui.core.catalog import Model
from wan_tui.core.catalog.checkpoints import INDEX
from wan_tui.core.catalog.original_names import original_name
from wan_tui.core.catalog.tensors import expected_tensors
from wan_tui.core.validation.checkpoint import is_present, pipeline_classes
from wan_tui.core.validation.checkpoint_files import CheckpointFolder
from wan_tui.core.validation.safetensors_header import Fault
from wan_tui.core.validation.transformer_file import is_transformer_file, read_transformer

# Enough to tell any two models apart: the channels that go in and out, and the size of the network between.
_NUMBERS = (*("in_channels", "out_channels", "num_attention_heads", "attention_head_dim", "num_layers", "ffn_dim"),)
_ENDS = ("patch_embedding.weight", "proj_out.weight")
# The scales of 8-bit files come with a tensor of their own.
_MARKS = {"scaled_fp8"}


def guess_model(path: Path, models: Iterable[Model]) -> Model | None:
    """The one of ``models`` that the folder or file ``path`` is of, complete or not; None when nothing says so."""
    fits = _file_fits if is_transformer_file(path) else _folder_fits
    try:
        return next((model for model in models if fits(path, model)), None)
    except Fault:
        return None


def _folder_fits(path: Path, model: Model) -> bool:
    folder = CheckpointFolder.open(path)
    index, config = folder.json(INDEX), folder.json("transformer/config.json")
    if index is None or config is None or index.get("_class_name") not in pipeline_classes(model):
        return False
    # A Wan 2.1 model has the network of the 2.2 one, but no second expert.
    if is_present(index.get("transformer_2")) != (model.experts > 1):
        return False
    needed = model.transformer.config
    return all(type(config.get(key)) is int and config[key] == needed[key] for key in _NUMBERS)


def _file_fits(path: Path, model: Model) -> bool:
    file = read_transformer(path)
    expected = expected_tensors(model.transformer)
    for end in _ENDS:
        held = file.tensors.get(file.name(end))
        if held is None or held.shape != expected[end]:
            return False
    # Relatives with more inputs (VACE, Animate, image embeddings) have families of tensors of their own.
    families = {name.partition(".")[0] for known in expected for name in (known, original_name(known))}
    return {name.partition(".")[0] for name in file.tensors} <= families | _MARKS
