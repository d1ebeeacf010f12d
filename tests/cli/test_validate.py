"""``wan-tui validate``: what it judges, in which forms it says so, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests import simnvml
from tests.cli.harness import config, wan_tui
from tests.simnvml import Scenario, SimGpu
from wan_tui.core.catalog import load_catalogue
from wan_tui.worker.pocket import ensure_pocket

NOT_HERE = '[deployments.big]\nmodel = "t2v-A14B"\ndevice = "gpu:63"\n'
WANTED = f"{NOT_HERE}wanted_loaded = true\n"


def test_a_fresh_machine_is_valid_and_no_torch_is_imported(home: Path) -> None:
    run = wan_tui("validate")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[0] == "3 models: 3 valid, 0 invalid"
    code = (
        "import sys; from wan_tui.cli.main import main; assert main(['validate', '--quiet']) == 0; "
        "assert not {'torch', 'diffusers', 'textual', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    "command", [("-m", "wan_tui", "validate"), ("-m", "validate_wan_model_configurations")], ids=["wan-tui", "module"]
)
def test_the_documented_report_is_written(home: Path, command: tuple[str, ...]) -> None:
    file = home / "r.json"
    flags = ["--detailed", "--hardware-check", "--report", str(file)]
    run = subprocess.run([sys.executable, *command, *flags], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "model t2v-A14B: valid" in run.stdout
    report = json.loads(file.read_text())
    assert report["overall_valid"] is True
    models = {"t2v-A14B", "i2v-A14B", "ti2v-5B"}
    assert report["model_validations"].keys() == models
    for model in models:
        judged = report["model_validations"][model]
        assert judged["is_valid"] is True
        assert judged["errors"] == []
        assert judged["rules"]["WAN301"] == {"outcome": "passed"}
        assert judged["rules"]["WAN412"] == {"outcome": "skipped", "reason": "no checkpoint on this host"}
    summary = report["summary"]
    assert (summary["total_models"], summary["valid_models"], summary["invalid_models"]) == (3, 3, 0)
    assert summary["errors"] == []
    assert report["deployment_validations"]["pocket"]["hardware_compatibility"]["verdict"] == "fits"
    assert os.listdir(home).count("r.json") == 1
    assert not [name for name in os.listdir(home) if name.endswith(".part")]


def test_what_is_wanted_loaded_and_cannot_run_is_an_error(home: Path) -> None:
    run = wan_tui("--config", config(home, WANTED), "validate")
    assert run.returncode == 1
    assert "error WAN001 deployment big: device gpu:63 is not in this host" in run.stdout
    assert "    fix: " in run.stdout

    unwanted = config(home, NOT_HERE)
    assert wan_tui("--config", unwanted, "validate").returncode == 0
    named = wan_tui("--config", unwanted, "validate", "big")
    assert named.returncode == 0
    assert "warning WAN006 deployment big" in named.stdout
    assert wan_tui("--config", unwanted, "validate", "big", "--strict").returncode == 1


def test_a_broken_configuration_is_a_finding_and_the_models_are_judged_all_the_same(home: Path) -> None:
    file = config(home, '[exporter]\nprot = 9000\n\n[deployments.a]\nmodel = "t2v-A15B"\n')
    run = wan_tui("--config", file, "validate", "--json")
    assert run.returncode == 1
    report = json.loads(run.stdout)
    assert report["overall_valid"] is False
    assert [finding["code"] for finding in report["findings"]] == ["WAN102", "WAN105"]
    assert report["summary"]["valid_models"] == 3
    assert report["configuration"][0]["file"] == file

    fixed = wan_tui("--config", file, "validate", "--fix")
    assert fixed.returncode == 1
    assert "WAN102" not in fixed.stdout
    assert "WAN105" in fixed.stdout
    assert "+port = 9000" in fixed.stderr
    assert (home / "test.toml.bak").read_text().startswith("[exporter]\nprot")


def test_files_and_folders_are_targets(home: Path, pocket_cache: Path, tmp_path: Path) -> None:
    folder = ensure_pocket(load_catalogue().find("t2v-pocket"), pocket_cache)
    good = wan_tui("validate", str(folder))
    assert good.returncode == 0
    assert good.stdout.startswith("1 model: 1 valid, 0 invalid")
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(folder), str(copy)], check=True)
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    bad = wan_tui("validate", str(copy), "--json")
    assert bad.returncode == 1
    report = json.loads(bad.stdout)
    assert (report["summary"]["invalid_models"], report["findings"][0]["code"]) == (1, "WAN412")
    older = tmp_path / "config.json"
    older.write_text('{"optimization": {"default_quantization": "invalid"}}')
    assert "WAN123" in wan_tui("validate", str(older)).stdout
    unknown = wan_tui("validate", "t2v-B14A")
    assert unknown.returncode == 2
    assert "t2v-A14B" in unknown.stderr
    assert unknown.stderr.count("\n") == 1
    nothing = wan_tui("validate", str(tmp_path))
    assert nothing.returncode == 2
    assert "wan-tui check MODEL" in nothing.stderr


def test_one_report_in_five_forms(home: Path) -> None:
    file = config(home, WANTED + "[exporter]\nprot = 1\n")
    forms = {name: wan_tui("--config", file, "validate", "--format", name) for name in ("junit", "sarif", "github")}
    assert {run.returncode for run in forms.values()} == {1}

    suites = ElementTree.fromstring(forms["junit"].stdout)
    assert suites.tag == "testsuites"
    failed = [case.get("name", "")[:6] for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failed == ["WAN102"]
    for suite in suites:
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))

    (run,) = json.loads(forms["sarif"].stdout)["runs"]
    assert {result["ruleId"] for result in run["results"]} <= {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    (result,) = [result for result in run["results"] if result["ruleId"] == "WAN102"]
    assert result["level"] == "error"
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == file

    first = forms["github"].stdout.splitlines()[0]
    assert first.startswith(f"::error title=WAN102,file={file}::")
    assert "%0Afix: " in first

    unknown = wan_tui("validate", "--format", "yaml")
    assert unknown.returncode == 2
    assert "sarif" in unknown.stderr or "json" in unknown.stderr


def test_quiet_prints_nothing_and_reports_go_where_they_can(home: Path) -> None:
    assert wan_tui("validate", "--quiet").stdout == ""
    for place, status, says in (
        (str(home), 2, "is a directory"),
        (str(home / "none" / "r.json"), 1, "cannot write the report"),
        ("/proc/r.json", 1, "cannot write the report"),
    ):
        run = wan_tui("validate", "--report", place)
        assert run.returncode == status
        assert says in run.stderr
        assert run.stderr.count("\n") == 1
    text = home / "r.txt"
    assert wan_tui("validate", "--report", str(text), "--quiet").returncode == 0
    assert text.read_text().startswith("3 models: 3 valid")


@pytest.mark.skipif(simnvml.compiler() is None, reason="no C compiler for the simulated driver")
def test_the_hardware_check_judges_models_against_the_gpus_of_this_host(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = simnvml.build(tmp_path_factory.mktemp("simnvml"))
    Scenario(gpus=[SimGpu(name="NVIDIA GeForce RTX 3080", memory_total_bytes=10 << 30)]).write(home / "scenario")
    run = subprocess.run(
        [sys.executable, "-m", "wan_tui", "validate", "--hardware-check", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **simnvml.environment(library, home / "scenario")},
    )
    report = json.loads(run.stdout)
    judged = report["model_validations"]["ti2v-5B"]["hardware_compatibility"]
    assert judged["plan"]["device"] == "gpu:0"
    # This torch is built for the CPU, which a host with a GPU is told.
    assert "WAN502" in {finding["code"] for finding in report["findings"]}
    assert run.returncode == 1
