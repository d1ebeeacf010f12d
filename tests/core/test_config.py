"""The configuration file: read, checked, and refused in one clear line."""

from pathlib import Path

import pytest

from wan_tui.core.config import load_settings
from wan_tui.core.errors import UsageError, WanTuiError


def write(home: Path, text: str) -> Path:
    file = home / "wan-tui.toml"
    file.write_text(text)
    return file


def test_without_a_file_the_official_models_and_pocket_are_deployed_unloaded() -> None:
    settings = load_settings()
    assert list(settings.deployments) == ["t2v-A14B", "i2v-A14B", "ti2v-5B", "pocket"]
    assert not any(deployment.wanted_loaded for deployment in settings.deployments.values())
    assert {name: d.profile for name, d in settings.deployments.items()} == {
        "t2v-A14B": "auto",
        "i2v-A14B": "auto",
        "ti2v-5B": "auto",
        "pocket": "cpu",
    }
    assert settings.exporter.listen_address == "127.0.0.1"


def test_a_file_replaces_the_deployments_and_model_ids_become_short(home: Path) -> None:
    file = write(
        home,
        """
        [paths]
        outputs = "~/clips"
        [exporter]
        port = 0
        [deployments.story]
        model = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
        device = "gpu:1"
        wanted_loaded = true
        """,
    )
    settings = load_settings(file)
    assert list(settings.deployments) == ["story"]
    assert settings.deployments["story"].model == "ti2v-5B"
    assert settings.deployments["story"].wanted_loaded
    assert settings.paths.outputs == home / "clips"


def test_a_file_without_deployments_keeps_the_default_ones(home: Path) -> None:
    assert "pocket" in load_settings(write(home, "[polling]\ninterval_seconds = 2\n")).deployments


def test_the_environment_and_the_usual_place_name_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = home / "config" / "wan-tui" / "wan-tui.toml"
    usual.parent.mkdir(parents=True)
    usual.write_text('[deployments.usual]\nmodel = "t2v-pocket"\n')
    assert list(load_settings().deployments) == ["usual"]
    monkeypatch.setenv("WANTUI_CONFIG", str(write(home, '[deployments.named]\nmodel = "t2v-pocket"\n')))
    assert list(load_settings().deployments) == ["named"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x =", "not valid TOML"),
        ("[deployment.a]\n", "unknown key 'deployment': did you mean deployments?"),
        ('[deployments.a]\nmodel = "t2v-pokcet"', "did you mean t2v-pocket"),
        ('[deployments.a]\nmodel = "t2v-pocket"\nprofil = "cpu"', "deployments.a.profil: unknown key 'profil'"),
        ('[deployments.a]\nmodel = "t2v-pocket"\ndevice = "cuda"', "deployments.a.device = 'cuda'"),
        ("[deployments.a]\n", "deployments.a.model: missing"),
        ('[deployments."a b"]\nmodel = "t2v-pocket"', "a b"),
        ('[polling]\ninterval_seconds = "often"', "polling.interval_seconds = 'often'"),
        ("[polling]\ninterval_seconds = 0", "greater than or equal to 0.1"),
        ("[exporter]\nport = 70000", "exporter.port = 70000"),
        ("deployments = 3", "deployments = 3"),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_value(home: Path, text: str, says: str) -> None:
    file = write(home, text)
    with pytest.raises(UsageError) as refused:
        load_settings(file)
    assert str(file) in str(refused.value)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_cannot_be_read(home: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_settings(home / "none.toml")
    with pytest.raises(WanTuiError, match="Is a directory"):
        load_settings(home)
    latin = home / "latin.toml"
    latin.write_bytes("# caf\xe9".encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        load_settings(latin)
