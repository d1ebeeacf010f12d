"""Where a checkpoint is looked for, and in which order."""

from pathlib import Path

import pytest

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.checkpoints import find_checkpoint

MODEL = load_catalogue().find("ti2v-5B")


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    return folder


def test_nothing_is_found_where_nothing_is(home: Path) -> None:
    assert find_checkpoint(MODEL, home / "models") is None


def test_the_models_directory_has_it_by_repository_name_or_by_id(home: Path) -> None:
    by_id = make(home / "models" / "ti2v-5B")
    assert find_checkpoint(MODEL, home / "models") == by_id
    by_name = make(home / "models" / "Wan2.2-TI2V-5B-Diffusers")
    assert find_checkpoint(MODEL, home / "models") == by_name


def test_a_named_folder_is_the_only_place(home: Path) -> None:
    make(home / "models" / "ti2v-5B")
    assert find_checkpoint(MODEL, home / "models", home / "elsewhere") is None
    named = make(home / "elsewhere")
    assert find_checkpoint(MODEL, home / "models", named) == named


def test_of_several_cached_revisions_the_one_of_main_is_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    cached = home / "hf" / "hub" / "models--Wan-AI--Wan2.2-TI2V-5B-Diffusers"
    first = make(cached / "snapshots" / "aaaa")
    main = make(cached / "snapshots" / "bbbb")
    assert find_checkpoint(MODEL, home / "models") == first
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("bbbb")
    assert find_checkpoint(MODEL, home / "models") == main


def test_a_prepared_copy_serves_when_the_original_is_gone(home: Path) -> None:
    copy = make(home / "models" / "Wan2.2-TI2V-5B-Diffusers--bf16")
    assert find_checkpoint(MODEL, home / "models") == copy
    original = make(home / "models" / "ti2v-5B")
    assert find_checkpoint(MODEL, home / "models") == original
