"""Files that a deployment names: transformers and LoRAs."""

from pathlib import Path

import pytest

from wan_tui.core.config import load_settings
from wan_tui.core.errors import UsageError
from wan_tui.core.validation.configuration import check_configuration

POCKET = '[deployments.a]\nmodel = "t2v-pocket"\n'


def write(home: Path, text: str) -> Path:
    file = home / "wan-tui.toml"
    file.write_text(text)
    return file


def test_files_and_loras_are_read_and_need_not_be_there_yet(home: Path) -> None:
    text = POCKET + (
        'transformer = "~/high.gguf"\ntransformer_2 = "~/low.GGUF"\n'
        'loras = [{ path = "fast.safetensors", weight = 0.5, expert = "low_noise" }, { path = "b.safetensors" }]\n'
    )
    found = load_settings(write(home, text)).deployment("a")
    assert found.transformer == home / "high.gguf"
    assert found.transformer_2 == home / "low.GGUF"
    assert [(lora.path.name, lora.weight, lora.expert.value) for lora in found.loras] == [
        ("fast.safetensors", 0.5, "low_noise"),
        ("b.safetensors", 1.0, "both"),
    ]
    missing = [one.where for one in check_configuration(write(home, text)) if one.code == "WAN112"]
    assert [where.rpartition(": ")[2] for where in missing] == [
        f"deployments.a.{key}" for key in ("transformer", "transformer_2", "loras.0.path", "loras.1.path")
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (POCKET + 'transformer = "a.bin"\n', r"\.gguf or \.safetensors"),
        (POCKET + 'loras = [{ path = "a.gguf" }]\n', r"\.safetensors"),
        (POCKET + 'transformer = "a.gguf"\n', "give transformer and transformer_2 as GGUF, or none"),
        (POCKET + 'transformer = "a.gguf"\ntransformer_2 = "b.safetensors"\n', "as GGUF, or none"),
        ('[deployments.a]\nmodel = "ti2v-pocket"\ntransformer_2 = "a.gguf"\n', "has one transformer"),
        (
            '[deployments.a]\nmodel = "ti2v-pocket"\nloras = [{ path = "a.safetensors", expert = "low_noise" }]\n',
            "has one transformer",
        ),
        (POCKET + 'loras = [{ path = "a.safetensors", weight = 1e9 }]\n', "weight"),
        (POCKET + 'loras = [{ path = "a.safetensors", weigth = 1.0 }]\n', "weigth.*did you mean.*weight|weigth"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(home: Path, text: str, words: str) -> None:
    file = write(home, text)
    with pytest.raises(UsageError, match=words):
        load_settings(file)
    assert [one for one in check_configuration(file) if one.code in ("WAN102", "WAN103")]


def test_one_expert_alone_may_come_from_a_safetensors_file(home: Path) -> None:
    found = load_settings(write(home, POCKET + 'transformer = "a.safetensors"\n')).deployment("a")
    assert found.files == {"transformer": Path("a.safetensors"), "transformer_2": None}


def test_deployments_that_differ_in_their_files_are_not_the_same_twice(home: Path) -> None:
    text = POCKET + '[deployments.b]\nmodel = "t2v-pocket"\nloras = [{ path = "a.safetensors" }]\n'
    assert not [one for one in check_configuration(write(home, text)) if one.code == "WAN109"]
