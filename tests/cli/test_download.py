"""``wan-tui download`` against a hub on this machine: the real huggingface_hub, the real protocol."""

import dataclasses
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.fake_hub import COMMIT, FakeHub, serving
from wan_tui.cli import download
from wan_tui.cli.download import download_model
from wan_tui.core.catalog import Catalogue, load_catalogue
from wan_tui.core.catalog.models import Weights
from wan_tui.core.errors import WanTuiError
from wan_tui.worker.pocket import ensure_pocket

POCKET = load_catalogue().find("t2v-pocket")
MODEL = dataclasses.replace(POCKET, id="small", repository="somebody/Small-Diffusers", weights=Weights.CHECKPOINT)
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def hub(pocket_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(download, "load_catalogue", lambda: Catalogue((MODEL,)))
    folder = tmp_path / "published"
    shutil.copytree(ensure_pocket(POCKET, pocket_cache), folder)
    (folder / "README.md").write_text("not needed")
    (folder / "transformer" / "weights.bin").write_bytes(b"a pickle")
    with serving(FakeHub(MODEL.repository, folder)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("NO_PROXY", "*")
        yield hub


def test_a_download_is_a_valid_checkpoint_in_the_models_directory(
    hub: FakeHub, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert download_model("small", None, as_json=True) == 0
    said = capsys.readouterr()
    facts = json.loads(said.out)
    folder = home / "data" / "wan-tui" / "models" / "Small-Diffusers"
    assert facts["path"] == str(folder)
    assert facts["commit"] == COMMIT
    assert facts["valid"]
    assert not [one for one in facts["findings"] if one["code"] == "WAN428"], "checksums were recorded and compared"
    assert (folder / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()
    assert not (folder / "README.md").exists()
    assert not (folder / "transformer" / "weights.bin").exists(), "nothing that could run code"
    assert "ask the hub" in said.err
    assert "verify" in said.err


@pytest.fixture
def large(hub: FakeHub) -> Path:
    """A file of more than the 10 MiB that huggingface_hub puts on disk at a time."""
    path = hub.folder / "tokenizer" / "large.safetensors"
    path.write_bytes(os.urandom(24 << 20))
    return path


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub: FakeHub, large: Path, tmp_path: Path) -> None:
    hub.cut = 13 << 20
    assert download_model("small", None, to=tmp_path / "here") == 0
    assert hub.ranges == [f"bytes={10 << 20}-", f"bytes={20 << 20}-"], "it asked only for the rest"
    assert (tmp_path / "here" / "tokenizer" / large.name).read_bytes() == large.read_bytes()


@pytest.mark.slow
def test_a_second_try_fetches_only_what_the_first_had_not_finished(hub: FakeHub, large: Path, tmp_path: Path) -> None:
    hub.cut, hub.goes_away = 13 << 20, True
    with pytest.raises(WanTuiError, match=r"small not downloaded: .*goes on where it stopped"):
        download_model("small", None, to=tmp_path / "here")
    orphan = tmp_path / "here" / ".cache" / "huggingface" / "download" / "killed.incomplete"
    orphan.write_bytes(bytes(1000))
    finished = [path for path in (tmp_path / "here").rglob("*.safetensors") if ".cache" not in path.parts]
    hub.cut, hub.broken = None, False
    hub.fetched.clear()
    assert download_model("small", None, to=tmp_path / "here") == 0
    assert "tokenizer/large.safetensors" in hub.fetched
    assert not {str(path.relative_to(tmp_path / "here")) for path in finished} & set(hub.fetched)
    assert not orphan.exists(), "what a killed download left takes no disk"


def test_a_finished_download_fetches_nothing_again(hub: FakeHub, tmp_path: Path) -> None:
    assert download_model("small", None, to=tmp_path / "here") == 0
    hub.fetched.clear()
    assert download_model("small", None, to=tmp_path / "here") == 0
    assert not hub.fetched


def test_a_damaged_file_is_found_by_its_checksum(
    hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert download_model("small", None, to=tmp_path / "here") == 0
    path = tmp_path / "here" / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    code = download_model("small", None, to=tmp_path / "here")
    assert code == 0 or "WAN427" in capsys.readouterr().out, "downloaded again, or told"


def nobody_listens() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_hub_that_cannot_be_reached_is_told_in_one_line(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", nobody_listens())
    with pytest.raises(WanTuiError, match=r"cannot be reached .*: check network and proxy") as refused:
        download_model("small", None, to=tmp_path / "here")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"gated": True}, "is gated: accept its terms"),
        ({"broken": True}, "answered 503"),
        ({"repository": "somebody/else"}, "has no repository somebody/Small-Diffusers"),
    ],
    ids=["gated", "broken", "unknown"],
)
def test_what_the_hub_refuses_is_told_in_one_line(
    hub: FakeHub, tmp_path: Path, fault: dict[str, object], words: str
) -> None:
    for name, value in fault.items():
        setattr(hub, name, value)
    with pytest.raises(WanTuiError, match=words) as refused:
        download_model("small", None, to=tmp_path / "here")
    assert "\n" not in str(refused.value)


def test_an_unknown_revision_is_told(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(WanTuiError, match="has no revision v9"):
        download_model("small", None, revision="v9", to=tmp_path / "here")


def test_a_built_in_model_is_not_downloaded() -> None:
    with pytest.raises(WanTuiError, match="built in"):
        download_model("t2v-pocket", None)
