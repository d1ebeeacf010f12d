"""Tensor names of the original Wan layout, in which official, repackaged and GGUF files hold a transformer.

The rules are those of diffusers' converter, turned round; tests/worker/test_original_names.py runs that converter
on these names for every transformer of the catalogue.
"""

from wan_tui.core.catalog.models import Component
from wan_tui.core.catalog.tensors import expected_tensors

# Repackaged files may put it before every name.
PREFIX = "model.diffusion_model."

_TOP = {
    "scale_shift_table": "head.modulation",
    "proj_out": "head.head",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
}
_IN_BLOCK = {
    "scale_shift_table": "modulation",
    "norm2": "norm3",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    **{
        f"{attention}.{part}": f"{original}.{short}"
        for attention, original in (("attn1", "self_attn"), ("attn2", "cross_attn"))
        for part, short in (
            *(("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "o")),
            *(("norm_q", "norm_q"), ("norm_k", "norm_k")),
        )
    },
}


def original_tensors(transformer: Component) -> dict[str, tuple[int, ...]]:
    """Every tensor of ``transformer`` with its shape, under its name in the original layout."""
    return {original_name(name): shape for name, shape in expected_tensors(transformer).items()}


def original_name(name: str) -> str:
    """What the original layout calls the tensor that diffusers calls ``name``. Raises KeyError for no such tensor."""
    if name.startswith("blocks."):
        _, number, inner = name.split(".", 2)
        return f"blocks.{number}.{_renamed(inner, _IN_BLOCK)}"
    return name if name.startswith("patch_embedding.") else _renamed(name, _TOP)


def _renamed(name: str, table: dict[str, str]) -> str:
    if name in table:
        return table[name]
    module, _, parameter = name.rpartition(".")
    return f"{table[module]}.{parameter}"
