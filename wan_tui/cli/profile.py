"""``wan-tui profile-architecture``: measure how much memory the Wan networks take, with the installed libraries."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wan_tui.cli.text import columns
from wan_tui.core.atomic import replace
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.errors import WanTuiError
from wan_tui.core.planning.activations import stored

_HEADER = """\
# Activation memory and VAE operations of the Wan networks, as `wan-tui profile-architecture --output FILE` prints them:
# the real modules of diffusers and transformers on torch's meta device, live storages tracked, counted by torch's
# FlopCounterMode. tests/worker/test_profile.py measures again and compares.
#
# A table a component of components.toml, by precision (fp16 counts as bf16 where it has no table of its own). `peaks`
# are the operations that can be the peak: bytes = max over them of the sum of coefficient x term.
#   transformers: token (latent tokens x clips), shared_token (latent tokens), clip (clips at once), fixed
#   text encoder: clip (prompts at once), fixed
#   VAE: one pass over one latent frame (the first, the second, every next one), history of its convolutions included:
#     area and edge (height x width and height + width in latent pixels), fixed; `kept` is the history alone.
# `decode_flop`, `encode_flop`: operations a latent pixel in the first and each next pass, attention a pixel squared.

"""


def profile_architecture(models: list[str], output: Path | None, *, as_json: bool) -> int:
    """Profile the networks of ``models`` (default: all) in a process of its own and compare with the built-in data.

    ``output`` is a TOML file to write, in the form of the built-in activations.toml. Raises WanTuiError when torch,
    diffusers or transformers are missing, or when a network no longer behaves as the formulas say.
    """
    catalogue = load_catalogue()
    chosen = [catalogue.find(name) for name in models] or list(catalogue.models)
    components = list(dict.fromkeys(part.name for model in chosen for _, part in model.components))
    found = _profile(components)
    if output is not None:
        replace(output, (_HEADER + "\n".join(_toml(found))).encode())
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    versions = ", ".join(f"{name} {found['made_with'][name]}" for name in ("torch", "diffusers", "transformers"))
    print(f"measured with {versions}")
    print(columns(["COMPONENT", "FIGURE", "MEASURED", "BUILT IN"], list(_rows(found))))
    return 0


def _profile(components: list[str]) -> dict[str, Any]:
    sys.stderr.write(f"profiling {len(components)} networks on torch's meta device: about half a minute for all\n")
    command = [sys.executable, "-m", "wan_tui.worker.profile", *components]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        last = (run.stderr.strip().splitlines() or [f"status {run.returncode}"])[-1]
        raise WanTuiError(f"profiling failed: {last}")
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def _toml(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """TOML with one line a figure; a writer for any data would spread these over ten times as many."""
    figures = {key: value for key, value in table.items() if path and _depth(value) <= 2}
    if figures:
        yield f"[{'.'.join(path)}]"
        yield from (f"{key} = {_inline(value)}" for key, value in figures.items())
        yield ""
    for key, value in table.items():
        if key not in figures:
            yield from _toml(value, (*path, key))


def _depth(value: Any) -> int:
    return 1 + max((_depth(part) for part in value.values()), default=0) if isinstance(value, dict) else 0


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(part) for part in value) + "]"
    return json.dumps(value)


def _rows(found: Mapping[str, Any]) -> Iterator[list[str]]:
    """One row a figure: the leading coefficient, which is the one that grows with the clip."""
    for name, entry in found.items():
        if name == "made_with":
            continue
        known = _figures(stored().get(name, {}))
        for figure, value in _figures(entry).items():
            before = known.get(figure)
            yield [
                name,
                figure,
                f"{value:,}",
                "same" if before == value else "none" if before is None else f"{before:,}",
            ]


def _figures(entry: Mapping[str, Any]) -> dict[str, int]:
    """What a component costs for each unit of work, under the name of the unit."""
    figures: dict[str, int] = {}
    for precision in ("fp32", "fp16", "bf16"):
        measured = entry.get(precision, {})
        for half in ("decode", "encode"):
            if half in measured:
                area = max(peak["area"] for peak in measured[half]["next"]["peaks"])
                figures[f"{precision} {half}, bytes a latent pixel"] = area
        if "peaks" in measured:
            unit = "token" if "token" in measured["peaks"][0] else "clip"
            name = "latent token" if unit == "token" else "prompt"
            figures[f"{precision}, bytes a {name}"] = max(peak[unit] for peak in measured["peaks"])
    for half in ("decode", "encode"):
        if f"{half}_flop" in entry:
            figures[f"{half}, operations a latent pixel"] = entry[f"{half}_flop"]["next"]
    return figures
