"""``wan-tui config``: what it prints and writes, how it ends, and that an interrupted fix loses nothing."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from wan_tui.cli.config import config_app
from wan_tui.core.config import load_settings
from wan_tui.core.config.settings import Settings
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.validation.configuration import check_configuration

OLDER = {
    "system": {"default_quantization": "bf16"},
    "optimization": {"default_quantization": "fp16", "vae_tile_sise": 256, "enable_ofload": True},
    "models": {"t2v_model": "Wan9"},
}
TOML = (
    '# mine\n[exporter]\nprot = 9000  # why\n\n[poling]\ninterval_seconds = 2\n\n[deployment.a]\nmodel = "t2v-A15B"\n'
)


def config(*arguments: str) -> int:
    result = typer.main.get_command(config_app)(args=list(arguments), standalone_mode=False)
    return result if isinstance(result, int) else 0


@pytest.fixture
def older(home: Path) -> Path:
    file = home / "config.json"
    file.write_text(json.dumps(OLDER))
    return file


@pytest.mark.parametrize("name", ["config.json", "wan-tui.toml"])
def test_fix_mends_three_and_leaves_one(home: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / name
    original = json.dumps(OLDER) if name.endswith("json") else TOML
    file.write_text(original)
    file.chmod(0o640)
    assert config("check", str(file), "--fix") == 1
    assert (home / f"{name}.bak").read_bytes() == original.encode()
    assert file.stat().st_mode & 0o777 == (home / f"{name}.bak").stat().st_mode & 0o777 == 0o640
    grave = [finding.code for finding in check_configuration(file) if finding.severity != "info"]
    assert grave == ["WAN105"]
    shown = capsys.readouterr().out
    assert f"--- {file}.bak" in shown
    assert "@@" in shown
    assert sorted(os.listdir(home)) == [name, f"{name}.bak"]
    if name == "wan-tui.toml":
        assert file.read_text() == TOML.replace("prot", "port").replace("poling", "polling").replace(
            "deployment.", "deployments."
        )


def test_backups_are_numbered_and_a_mended_file_is_left_alone(older: Path) -> None:
    first = older.read_bytes()
    older.with_name("config.json.bak").write_text("older still")
    config("check", str(older), "--fix")
    assert older.with_name("config.json.bak").read_text() == "older still"
    assert older.with_name("config.json.bak.1").read_bytes() == first
    config("check", str(older), "--fix")
    assert not older.with_name("config.json.bak.2").exists()


def test_two_misspelt_keys_for_one_do_not_overwrite_each_other(home: Path) -> None:
    file = home / "config.json"
    file.write_text('{"optimization": {"vae_tile_sise": 256, "vae_tile_sizee": 512}}')
    config("check", str(file), "--fix")
    assert sorted(json.loads(file.read_text())["optimization"].values()) == [256, 512]


def test_a_failing_replace_loses_nothing(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = older.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(WanTuiError, match="No space left"):
        config("check", str(older), "--fix")
    assert older.read_bytes() == before
    assert not list(older.parent.glob(".*.part"))


def test_a_kill_between_write_and_replace_loses_nothing(older: Path) -> None:
    before = older.read_bytes()
    script = (
        "import os, signal, sys; os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from pathlib import Path; from wan_tui.cli.config import config_app\n"
        "config_app(['check', sys.argv[1], '--fix'])"
    )
    run = subprocess.run([sys.executable, "-c", script, str(older)], capture_output=True, timeout=30)
    assert run.returncode == -signal.SIGKILL
    assert older.read_bytes() == before
    assert older.with_name("config.json.bak").read_bytes() == before


def test_migrate_writes_a_file_that_loads(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = home / "config.json", home / "new.toml"
    file.write_text(
        json.dumps(
            {
                "directories": {"output_directory": str(home), "models_directory": "/data/models"},
                "models": {"t2v_model": "Wan2.2-T2V-A14B", "ti2v_model": "Wan2.2-TI2V-5B"},
                "performance": {"stats_refresh_interval": 5},
                "ui": {"theme": "dark"},
            }
        )
    )
    assert config("migrate", str(file), "--output", str(output)) == 0
    assert "WAN121" in capsys.readouterr().err
    settings = load_settings(output)
    assert list(settings.deployments) == ["t2v-A14B", "ti2v-5B"]
    assert settings.paths.models == Path("/data/models")
    assert settings.polling.interval_seconds == 5
    assert check_configuration(output) == ()
    with pytest.raises(WanTuiError, match="never overwritten"):
        config("migrate", str(file), "--output", str(output))
    with pytest.raises(UsageError, match="json"):
        config("migrate", str(output))


def test_init_path_show_and_schema(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert config("init") == 0
    file = Path(capsys.readouterr().out.strip())
    assert check_configuration(file) == ()
    with pytest.raises(WanTuiError, match="never overwritten"):
        config("init")
    config("path")
    assert capsys.readouterr().out.strip() == str(file)
    file.write_text("[polling]\ninterval_seconds = 3\n")
    monkeypatch.setenv("WANTUI_EXPORTER_PORT", "9000")
    config("show")
    text = capsys.readouterr().out
    assert "interval_seconds = 3.0  # file" in text
    assert "port = 9000  # environment: WANTUI_EXPORTER_PORT" in text
    assert "deadline_seconds = 2.0  # default" in text
    assert Settings.model_validate(tomllib.loads(text)) == load_settings()
    config("schema")
    assert "deployments" in json.loads(capsys.readouterr().out)["properties"]


def test_check_ends_with_the_worst(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert config("check") == 0
    file = home / "wan-tui.toml"
    file.write_text('[paths]\noutputs = "/nowhere/at/all"\n[exporter]\nlisten_address = "0.0.0.0"\n')
    assert config("check", str(file)) == 0
    assert config("check", str(file), "--strict") == 1
    capsys.readouterr()
    file.write_text('[exporter]\nport = 70000\nlisten_address = "0.0.0.0"\n')
    assert config("check", str(file), "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["valid"] is False
    assert [entry["code"] for entry in report["findings"]] == ["WAN103", "WAN108"]
    with pytest.raises(UsageError) as refused:
        config("check", str(home / "none.toml"))
    assert refused.value.exit_status == 2
