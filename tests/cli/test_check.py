"""``wan-tui check`` with folders, single files and checksums."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from tests.cli.harness import wan_tui
from tests.core.validation.transformer_parts import arrays, write_gguf, write_safetensors
from wan_tui.cli.check import check_model
from wan_tui.core.catalog import load_catalogue
from wan_tui.worker.pocket import ensure_pocket

MODELS = load_catalogue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "expert.gguf", arrays(MODELS.find("t2v-pocket")))


def test_a_single_file_is_valid_and_says_what_it_leaves_open(file: Path) -> None:
    done = wan_tui("check", "t2v-pocket", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"t2v-pocket in {file}: valid\n  info WAN426 expert.gguf: ")


def test_the_wrong_model_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_model("i2v-pocket", file, None, as_json=False) == 1
    text = capsys.readouterr().out
    assert "WAN418" in text
    assert text.endswith(f"This looks like t2v-pocket: wan-tui check t2v-pocket {file}\n")
    assert check_model("i2v-pocket", file, None, as_json=True) == 1
    facts = json.loads(capsys.readouterr().out)
    assert (facts["valid"], facts["looks_like"], facts["path"]) == (False, "t2v-pocket", str(file))


def test_the_wrong_folder_is_named(pocket_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ensure_pocket(MODELS.find("ti2v-pocket"), pocket_cache)
    assert check_model("t2v-pocket", folder, None, as_json=False) == 1
    assert "This looks like ti2v-pocket" in capsys.readouterr().out


def test_what_is_no_weight_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pth").write_bytes(b"")
    for path, code in (
        (tmp_path / "model.pth", "WAN410"),
        (tmp_path / "none.gguf", "WAN422"),
        (tmp_path / "none", "WAN401"),
    ):
        assert check_model("t2v-pocket", path, None, as_json=True, with_hashes=True) == 1
        assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == code


def test_checksums_are_compared_when_asked_for(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "model.safetensors", arrays(MODELS.find("ti2v-pocket")))
    record = tmp_path / "model.safetensors.sha256"
    record.write_text(hashlib.sha256(b"something else").hexdigest())
    assert wan_tui("check", "ti2v-pocket", str(file)).returncode == 0
    done = wan_tui("check", "ti2v-pocket", str(file), "--hash")
    assert (done.returncode, done.stderr) == (1, "")
    assert "error WAN427 model.safetensors: its SHA-256 begins with " in done.stdout
    record.write_text(hashlib.sha256(file.read_bytes()).hexdigest())
    done = wan_tui("check", "ti2v-pocket", str(file), "--hash", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["findings"] == []


def test_hashing_shows_how_far_it_is_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_safetensors(tmp_path / "model.safetensors", arrays(MODELS.find("ti2v-pocket")))
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert check_model("ti2v-pocket", file, None, as_json=False, with_hashes=True) == 0
    told = capsys.readouterr().err
    assert "hashing: " in told
    assert told.endswith("\r\033[K")
