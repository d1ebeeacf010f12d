"""Outcomes of rules: passed, failed, or skipped with a reason; and the rules about requests and the environment."""

import dataclasses
from pathlib import Path

import pytest

from tests.core.runtime.harness import request
from wan_tui.cli.rules import page
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.config.settings import LimitSettings, RequestDefaults
from wan_tui.core.hardware.samples import DriverStatus, HardwareSample, HostSample, VolumeSample
from wan_tui.core.planning.assess import assess
from wan_tui.core.validation import environment, rulebook
from wan_tui.core.validation.deployment import judge_deployment
from wan_tui.core.validation.environment import judge_host, judge_room, torch_cuda
from wan_tui.core.validation.judgement import Judgement, codes_of, judged, not_judged
from wan_tui.core.validation.request import request_findings
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.validation.rulebook.rules import Group, rules
from wan_tui.core.validation.subjects import judge_model
from wan_tui.core.words import Outcome

POCKET = load_catalogue().find("t2v-pocket")
T2V = load_catalogue().find("t2v-A14B")
GIB = 1 << 30

LIBRARIES = {
    **dict.fromkeys(environment.required_libraries(), "99.0"),
    **{"torch": "2.13.0+cu128", "diffusers": "0.42.1", "transformers": "5.23.0"},
}
DRIVER = DriverStatus(present=True, up=True, message="", driver_version="575.57", cuda_driver_version="12.9")
NO_DRIVER = DriverStatus(present=False, up=False, message="no NVIDIA driver")
HOST = HostSample(
    hostname="gpu01",
    cpu_name="cpu",
    cpu_count=8,
    cpu_utilization_ratio=None,
    memory_total_bytes=256 * GIB,
    memory_available_bytes=200 * GIB,
    sampled_at=0.0,
    volumes=tuple(VolumeSample(name, f"/{name}", 1000 * GIB, 500 * GIB) for name in ("models", "outputs")),
)


def outcomes(judgement: Judgement) -> dict[str, Outcome]:
    return {rule.code: rule.outcome for rule in judgement.outcomes}


def failed(judgement: Judgement) -> set[str]:
    return {found.code for found in judgement.findings}


def test_a_rule_that_was_looked_at_and_found_nothing_has_passed() -> None:
    assert set(outcomes(judged(Group.CATALOGUE, ())).values()) == {Outcome.PASSED}
    skipped = not_judged(Group.CHECKPOINT, "no checkpoint")
    assert {rule.reason for rule in skipped.outcomes} == {"no checkpoint"}
    assert skipped.valid


def test_what_depends_on_a_broken_rule_is_skipped_and_says_so() -> None:
    truncated = judged(Group.CHECKPOINT, [finding("WAN412", "vae/x.safetensors", "too short")])
    (shapes,) = [rule for rule in truncated.outcomes if rule.code == "WAN418"]
    assert shapes.outcome is Outcome.SKIPPED
    assert shapes.reason == "cannot be told while WAN412 fails"
    assert outcomes(truncated)["WAN406"] is Outcome.PASSED
    assert not truncated.valid


def test_judgements_add_up() -> None:
    both = judged(Group.CATALOGUE, ()) + judged(Group.REQUEST, [finding("WAN205", "request", "500 frames")])
    assert both.codes == tuple(sorted((*codes_of(Group.CATALOGUE), *codes_of(Group.REQUEST))))
    assert failed(both) == {"WAN205"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"width": 0}, "WAN201"),
        ({"steps": -3}, "WAN201"),
        ({"height": 70}, "WAN202"),
        ({"frames": 16}, "WAN203"),
        ({"width": 1024, "height": 1024}, "WAN204"),
        ({"frames": 121}, "WAN205"),
        ({"steps": 1001}, "WAN206"),
        ({"seed": 1 << 63}, "WAN207"),
        ({"guidance": float("inf")}, "WAN208"),
        ({"prompt": "\n"}, "WAN209"),
        ({"image": "/x.png"}, "WAN211"),
        ({"output": "/x.png"}, "WAN216"),
    ],
)
def test_each_fault_of_a_request_has_its_rule(change: dict[str, object], code: str) -> None:
    found = request_findings(dataclasses.replace(request(), **change), POCKET)  # type: ignore[arg-type]
    assert [entry.code for entry in found] == [code]


def test_requests_for_models_that_take_pictures() -> None:
    assert [f.code for f in request_findings(request(), load_catalogue().find("i2v-pocket"))] == ["WAN210"]
    with_image = dataclasses.replace(request(), image="/nowhere\0.png")
    assert [f.code for f in request_findings(with_image, load_catalogue().find("ti2v-pocket"))] == ["WAN212"]


def test_limits_of_the_configuration_are_limits_of_requests_and_of_defaults() -> None:
    limits = LimitSettings(max_pixels=1024, max_frames=5, max_steps=2)
    found = request_findings(request(), POCKET, limits)
    assert [(entry.code, entry.message.split()[0]) for entry in found] == [
        ("WAN213", "pixels"),
        ("WAN213", "frames"),
        ("WAN213", "steps"),
    ]
    small = RequestDefaults(width=32, height=32, frames=5, steps=1)
    assert "WAN213" in failed(judge_model(POCKET, limits=limits))
    assert "WAN213" not in failed(judge_model(POCKET, limits=limits, defaults=small))


@pytest.mark.parametrize(
    ("libraries", "cuda"),
    [
        ({"torch": "2.9.0+cu128"}, "12.8"),
        ({"torch": "2.13.0+cu130"}, "13.0"),
        ({"torch": "2.9.0+cpu"}, "cpu"),
        ({"torch": "2.9.0", "nvidia-cuda-runtime-cu12": "12.8.90"}, "12.8"),
        ({"torch": "2.13.0", "nvidia-cuda-runtime": "13.0.48"}, "13.0"),
        ({"torch": "2.9.0"}, None),
    ],
)
def test_the_cuda_of_torch_is_told_without_importing_it(libraries: dict[str, str], cuda: str | None) -> None:
    assert torch_cuda(libraries) == cuda


@pytest.mark.parametrize(
    ("changes", "driver", "broken"),
    [
        ({}, DRIVER, set()),
        ({"torch": "2.13.0+cu130"}, DRIVER, {"WAN501"}),
        ({"torch": "2.13.0+cpu"}, DRIVER, {"WAN502"}),
        ({"torch": "2.13.0+cpu"}, NO_DRIVER, set()),
        ({"diffusers": "0.30.0"}, DRIVER, {"WAN504"}),
        ({"diffusers": "not a version"}, DRIVER, {"WAN504"}),
    ],
)
def test_driver_and_libraries(changes: dict[str, str], driver: DriverStatus, broken: set[str]) -> None:
    assert failed(judge_host({**LIBRARIES, **changes}, driver, HOST)) == broken


def test_what_cannot_be_told_of_a_host_is_skipped() -> None:
    bare = judge_host({}, DRIVER, dataclasses.replace(HOST, volumes=()))
    assert failed(bare) == {"WAN503"}
    skipped = {rule.code: rule.reason for rule in bare.outcomes if rule.outcome is Outcome.SKIPPED}
    assert skipped["WAN501"] == skipped["WAN502"] == "torch is not installed"
    assert skipped["WAN506"] == "the directory for videos cannot be read"


def test_the_libraries_of_this_installation_are_read_from_their_metadata() -> None:
    installed = environment.installed_libraries()
    assert installed["torch"].startswith("2.")
    assert environment.required_libraries().keys() >= {"torch", "diffusers", "av"}
    assert failed(judge_host(installed, NO_DRIVER, HOST)) == set()


def test_a_full_disk_and_a_full_memory() -> None:
    full = tuple(dataclasses.replace(volume, free_bytes=1 << 20) for volume in HOST.volumes)
    host = dataclasses.replace(HOST, volumes=full, memory_available_bytes=60 * GIB)
    assert failed(judge_host(LIBRARIES, DRIVER, host)) == {"WAN506"}
    found = assess(T2V, DeploymentSettings(model=T2V.id, device="cpu"), HardwareSample(NO_DRIVER), host)
    assert failed(judge_room("deployment x", T2V, found, has_weights=False, host=host)) == {"WAN505", "WAN507"}
    assert failed(judge_room("deployment x", T2V, found, has_weights=True, host=host)) == {"WAN507"}


def test_an_incompatible_deployment_is_an_error_only_when_it_is_wanted_loaded() -> None:
    small = dataclasses.replace(HOST, memory_total_bytes=GIB, memory_available_bytes=GIB)
    found = assess(T2V, DeploymentSettings(model=T2V.id, device="cpu"), HardwareSample(NO_DRIVER), small)
    wanted = judge_deployment("deployment x", T2V, found, None, wanted_loaded=True)
    unwanted = judge_deployment("deployment x", T2V, found, None, wanted_loaded=False)
    assert (failed(wanted), wanted.valid) == ({"WAN001", "WAN005"}, False)
    assert (failed(unwanted), unwanted.valid) == ({"WAN005", "WAN006"}, True)
    assert outcomes(wanted)["WAN006"] is Outcome.SKIPPED


def test_the_rule_book_has_a_rule_for_every_group() -> None:
    assert {entry.group for entry in rules().values()} == set(Group)


def test_the_page_of_rules_is_current() -> None:
    file = Path(rulebook.__file__).with_name("README.md")
    assert file.read_text("utf-8") == page(), "run make rules"
