"""Broken configurations, each with the rule that finds it; good ones; and anything at all."""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_tui.core.config import load_settings
from wan_tui.core.config.legacy_keys import FOREIGN, SECTIONS
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.validation.configuration import check_configuration, check_environment, diagnose

POCKET = 'model = "t2v-pocket"\n'

BROKEN_TOML = [
    ("x =", "WAN101"),
    ("[a]\n[a]\n", "WAN101"),
    ("a = " + "[" * 5000, "WAN101"),
    ("[deployment.a]\n", "WAN102"),
    ("[exporter]\nprot = 1\n", "WAN102"),
    ("[polling]\ninterval = 1\n", "WAN102"),
    (f'[deployments.a]\n{POCKET}profil = "cpu"\n', "WAN102"),
    ("zzz = 1\n", "WAN102"),
    ('"" = 1\n', "WAN102"),
    ("[exporter]\nport = 70000\n", "WAN103"),
    ('[exporter]\nport = "http"\n', "WAN103"),
    ("[exporter]\nlisten_address = 1\n", "WAN103"),
    ("exporter = 3\n", "WAN103"),
    ("deployments = []\n", "WAN103"),
    ("[polling]\ninterval_seconds = 0\n", "WAN103"),
    ("[polling]\ninterval_seconds = nan\n", "WAN103"),
    ('[paths]\noutputs = "~nobody-here/x"\n', "WAN103"),
    ("[paths]\nmodels = 3\n", "WAN103"),
    (f'[deployments."a b"]\n{POCKET}', "WAN103"),
    (f'[deployments.a]\n{POCKET}device = "cuda:0"\n', "WAN103"),
    (f'[deployments.a]\n{POCKET}profile = "fastest"\n', "WAN103"),
    (f'[deployments.a]\n{POCKET}wanted_loaded = "perhaps"\n', "WAN103"),
    (f'[deployments.a]\n{POCKET}attention = "fast"\n', "WAN103"),
    (f'[deployments.a]\n{POCKET}cache = "tea"\n', "WAN103"),
    (f'[deployments.a]\n{POCKET}compile = "maybe"\n', "WAN103"),
    (f"[deployments.a]\n{POCKET}attention_slicing = true\n", "WAN102"),
    ("[deployments.a]\n", "WAN104"),
    ('[deployments.a]\nmodel = "t2v-A15B"\n', "WAN105"),
    ('[deployments.a]\nmodel = ""\n', "WAN105"),
    ('[deployments]\na = {model="t2v-pocket", device="gpu:1"}\nb = {model="i2v-pocket", device="gpu:1"}\n', "WAN106"),
    ('[paths]\noutputs = "/nowhere/at/all"\n', "WAN107"),
    ('[paths]\noutputs = "/etc/passwd"\n', "WAN107"),
    ('[exporter]\nlisten_address = "0.0.0.0"\n', "WAN108"),
    ('[exporter]\nlisten_address = "::"\n', "WAN108"),
    ('[deployments]\na = {model="t2v-A14B"}\nb = {model="Wan2.2-T2V-A14B"}\n', "WAN109"),
    (f'[deployments.a]\n{POCKET}checkpoint = "/nowhere"\n', "WAN112"),
]
BROKEN_JSON: list[tuple[Any, str]] = [
    ("{", "WAN101"),
    ("[]", "WAN101"),
    ('{"system": {}, "system": {}}', "WAN101"),
    ({"models": {"t2v_model": "Wan9"}}, "WAN105"),
    ({"sistem": {}}, "WAN120"),
    ({"optimization": {"default_quantisation": "fp16"}}, "WAN120"),
    ({"ui": {"theme": "dark"}}, "WAN121"),
    ({"prompt_enhancement": {}}, "WAN121"),
    ({"system": {"default_quantization": "bf16"}, "optimization": {"default_quantization": "fp16"}}, "WAN122"),
    ({"system": {"output_directory": "a"}, "directories": {"output_directory": "b"}}, "WAN122"),
    ({"optimization": {"quantization_levels": ["fp16"], "default_quantization": "int8"}}, "WAN122"),
    ({"generation": {"default_steps": 50, "max_steps": 20}}, "WAN122"),
    ({"optimization": {"default_quantization": "invalid"}}, "WAN123"),
    ({"optimization": {"quantization_levels": ["fp16", "x"]}}, "WAN123"),
    ({"optimization": {"vae_tile_size": 1024, "vae_tile_size_range": [128, 512]}}, "WAN123"),
    ({"optimization": {"vae_tile_size_range": [512, 128]}}, "WAN123"),
    ({"optimization": {"max_vram_usage_gb": -1}}, "WAN123"),
    ({"optimization": {"enable_offload": "yes"}}, "WAN123"),
    ({"generation": {"default_steps": -1}}, "WAN123"),
    ({"generation": {"default_resolution": "wide"}}, "WAN123"),
    ({"system": {"models_directory": "~nobody-here"}}, "WAN123"),
    ({"system": 3}, "WAN123"),
    ({"models": {"t2v_model": 3}}, "WAN123"),
    ({"performance": {"stats_refresh_interval": 0}}, "WAN123"),
    ({"generation": {"default_resolution": "1920x1080"}}, "WAN124"),
    ({"generation": {"default_duration": 60, "default_fps": 16}}, "WAN124"),
    ({"generation": {"default_duration": 5, "default_fps": 16}}, "WAN125"),
    ({"optimization": {"vae_tile_size": 256}}, "WAN126"),
    ({"generation": {"default_resolution": "1280x720"}}, "WAN127"),
]


def codes(file: Path) -> list[str]:
    return [finding.code for finding in check_configuration(file)]


@pytest.mark.parametrize(("text", "code"), BROKEN_TOML)
def test_broken_toml_is_found_by_its_rule(home: Path, text: str, code: str) -> None:
    file = home / "wan-tui.toml"
    file.write_text(text)
    assert code in codes(file)
    if code <= "WAN105":
        with pytest.raises(UsageError):
            load_settings(file)
    else:
        load_settings(file)


@pytest.mark.parametrize(("data", "code"), BROKEN_JSON)
def test_broken_json_is_found_by_its_rule(home: Path, data: Any, code: str) -> None:
    file = home / "config.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    assert code in codes(file)


def test_every_mistake_is_named_with_the_nearest_key(home: Path) -> None:
    file = home / "wan-tui.toml"
    file.write_text("[exporter]\nprot = 1\n[poling]\nx = 1\n")
    found = check_configuration(file)
    assert [finding.code for finding in found] == ["WAN102", "WAN102"]
    assert {finding.fix.split("?")[0] for finding in found} == {"did you mean port", "did you mean polling, replanning"}


def test_good_files_have_no_findings(home: Path) -> None:
    good = home / "good.toml"
    good.write_text(
        f'[paths]\noutputs = "{home}"\n[deployments.a]\n{POCKET}\n[deployments.b]\n{POCKET}device = "cpu"\n'
    )
    assert check_configuration(good) == ()
    older = home / "config.json"
    older.write_text(
        json.dumps({"models": {"t2v_model": "Wan2.2-T2V-A14B"}, "system": {"output_directory": str(home)}})
    )
    assert check_configuration(older) == ()
    loaded = load_settings(older)
    assert list(loaded.deployments) == ["t2v-A14B"]
    assert loaded.paths.outputs == home


def test_files_that_cannot_be_read_are_findings(home: Path) -> None:
    (home / "latin.toml").write_bytes(b"# caf\xe9")
    assert codes(home) == codes(home / "none.toml") == codes(home / "latin.toml") == ["WAN101"]


def test_the_environment_beats_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "wan-tui.toml"
    file.write_text("[exporter]\nport = 1\n")
    monkeypatch.setenv("WANTUI_EXPORTER_PORT", "9000")
    monkeypatch.setenv("WANTUI_PATHS_OUTPUTS", "~/clips")
    monkeypatch.setenv("WANTUI_POLLING_INTERVAL_SECONDS", "2")
    monkeypatch.setenv("WANTUI_SOMETHING_ELSE", "x")
    for loaded in (load_settings(file), load_settings()):
        assert loaded.exporter.port == 9000
        assert loaded.paths.outputs == home / "clips"
        assert loaded.polling.interval_seconds == 2
        assert "pocket" in loaded.deployments
    monkeypatch.setenv("WANTUI_EXPORTER_PORT", "many")
    with pytest.raises(UsageError, match="environment variable WANTUI_EXPORTER_PORT = 'many'"):
        load_settings(file)


def test_findings_of_the_environment() -> None:
    found = check_environment(
        {"WANTUI_EXPORTER_PORT": "x", "WANTUI_EXPORTER_PROT": "1", "WANTUI_CONFIG": "f", "PATH": ""}
    )
    assert [(finding.code, finding.where) for finding in found] == [
        ("WAN111", "WANTUI_EXPORTER_PORT"),
        ("WAN110", "WANTUI_EXPORTER_PROT"),
    ]
    assert "WANTUI_EXPORTER_PORT" in found[1].fix


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["1920x1080", "fp16", "bf16", "t2v-A14B", "gpu:1", "~x/y", "\ud800", "a\0b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
legacy_keys = st.sampled_from(sorted({key for keys in SECTIONS.values() for key in keys})) | st.text(max_size=8)
older_forms = st.dictionaries(
    st.sampled_from([*SECTIONS, *FOREIGN]) | st.text(max_size=8),
    st.dictionaries(legacy_keys, values, max_size=5) | values,
    max_size=6,
)
toml_keys = st.sampled_from(["paths", "exporter", "deployments", "port", "prot", "outputs", "model", "device", "a"])
toml_values = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats()
    | st.dates()
    | st.text(st.characters(codec="utf-8"))
    | st.sampled_from(["~x/y", "t2v-A14B", "gpu:1", "a\0b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(toml_keys, inner, max_size=4),
    max_leaves=10,
)
toml_files = st.dictionaries(toml_keys, toml_values, max_size=4)
raw_files = st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))


def judge(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        started = time.process_time()
        diagnosis = diagnose(file)
        assert time.process_time() - started < 1, "no content may keep a check busy"
        "".join(f"{finding.where}{finding.message}{finding.fix}" for finding in diagnosis.findings).encode()
        assert os.listdir(folder) == [name]
        assert file.read_bytes() == content
        try:
            load_settings(file)
        except WanTuiError:
            assert any(finding.severity == "error" for finding in diagnosis.findings)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(older_forms)
def test_any_json_is_judged(data: dict[str, Any]) -> None:
    judge("config.json", json.dumps(data).encode())


@settings(max_examples=300, derandomize=True, deadline=None)
@given(toml_files)
def test_any_toml_is_judged(data: dict[str, Any]) -> None:
    import tomli_w

    judge("wan-tui.toml", tomli_w.dumps(data).encode())


@settings(max_examples=300, derandomize=True, deadline=None)
@given(raw_files)
def test_any_bytes_are_judged(content: bytes) -> None:
    judge("wan-tui.toml", content)
    judge("config.json", content)


def many_times(test: Any, strategy: st.SearchStrategy[Any]) -> Any:
    """The same property on so many inputs that it takes minutes."""
    long = given(strategy)(test.hypothesis.inner_test)
    return pytest.mark.slow(pytest.mark.timeout(1800)(settings(max_examples=3400, deadline=None)(long)))


test_very_much_json_is_judged = many_times(test_any_json_is_judged, older_forms)
test_very_much_toml_is_judged = many_times(test_any_toml_is_judged, toml_files)
test_very_many_bytes_are_judged = many_times(test_any_bytes_are_judged, raw_files)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wan-tui.toml", f"[deployments.a]\n{POCKET}attention_slicing = true\n"),
        ("config.json", '{"optimization": {"enable_attention_slicing": true}}'),
    ],
)
def test_who_looks_for_attention_slicing_is_told_that_wan_has_none(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (found,) = check_configuration(tmp_path / name)
    assert found.fix is not None
    assert "the Wan transformers of diffusers have no attention slicing" in found.fix
