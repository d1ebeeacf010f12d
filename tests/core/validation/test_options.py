"""What a deployment asks for and this host cannot do: a finding with a fix, and a plan without it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.core.planning.parts import CATALOGUE, gpu, hardware, host
from wan_tui.core.catalog.profiles import find_profile
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.planner import Abilities
from wan_tui.core.validation.judgement import Judgement
from wan_tui.core.validation.lora_file import lora_parameters
from wan_tui.core.validation.options import KERNELS, Toolchain, abilities, judge_options
from wan_tui.core.words import AttentionBackend, OffloadMode, Quantization, StepCache

WHOLE = {"torchao": "0.18", "bitsandbytes": "0.50", "triton": "3.4", "flash-attn": "2.8.3", "xformers": "0.0.35"}
TOOLS = Toolchain("/usr/bin/gcc", headers=True)


def judged(
    libraries: dict[str, str], tools: Toolchain = TOOLS, profile: dict[str, Any] | None = None, **options: Any
) -> Judgement:
    settings = Settings.model_validate(
        {"profiles": {"own": profile or {}}, "deployments": {"d": {"model": "t2v-A14B", "profile": "own", **options}}}
    )
    deployment, own = settings.deployments["d"], settings.known_profiles["own"]
    able = abilities(libraries, tools, for_gpus=True)
    found = assess(
        CATALOGUE.find("t2v-A14B"),
        deployment,
        hardware(gpu(141)),
        host(512),
        profiles=settings.known_profiles,
        abilities=able,
    )
    assert found.plan is not None, found.reason
    return judge_options("deployment d", deployment, own, found.plan, libraries, tools)


def codes(judgement: Judgement) -> list[str]:
    assert all(found.fix for found in judgement.findings)
    return [found.code for found in judgement.findings]


def test_who_asks_for_nothing_hears_nothing() -> None:
    assert codes(judged({}, Toolchain(None, headers=False))) == []


@pytest.mark.parametrize(
    ("libraries", "tools", "options", "code", "says"),
    [
        (
            {},
            TOOLS,
            {"profile": {"quantizations": ["none", "int8", "int4"]}},
            "WAN508",
            "int8, int4 weights need torchao",
        ),
        ({}, TOOLS, {"profile": {"quantizations": ["none", "nf4"]}}, "WAN508", "bitsandbytes"),
        ({}, TOOLS, {"attention": "flash"}, "WAN509", "flash-attn is not installed"),
        ({"xformers": "0.0.28"}, TOOLS, {"attention": "xformers"}, "WAN509", "xformers 0.0.28 is older than 0.0.29"),
        ({}, TOOLS, {"profile": {"attentions": ["sdpa", "sage"]}}, "WAN509", "sageattention is not installed"),
        ({}, TOOLS, {"compile": True}, "WAN510", "Triton is not installed"),
        (WHOLE, Toolchain(None, headers=True), {"compile": True}, "WAN510", "no C compiler"),
        (WHOLE, Toolchain("cc", headers=False), {"profile": {"compile": True}}, "WAN510", "headers of Python"),
        (WHOLE, TOOLS, {"compile": True, "cache": "mag"}, "WAN511", "MagCache runs every block outside it"),
        (WHOLE, TOOLS, {"compile": True, "profile": {"offloads": ["sequential"]}}, "WAN511", "sequential offload"),
        (WHOLE, TOOLS, {"device": "cpu", "attention": "flash"}, "WAN511", "needs a GPU"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_what_is_missing_is_named_with_a_fix(
    libraries: dict[str, str], tools: Toolchain, options: dict[str, Any], code: str, says: str
) -> None:
    found = judged(libraries, tools, **options)
    assert codes(found) == [code]
    assert says in found.findings[0].message


def test_with_everything_installed_every_option_is_planned_without_a_word() -> None:
    libraries = {**WHOLE, "sageattention": "2.2.0"}
    for option in ({"attention": "flash"}, {"attention": "sage"}, {"cache": "taylor_seer", "compile": True}):
        assert codes(judged(libraries, **option)) == []
    assert {kind for kind in AttentionBackend if kind in KERNELS} == set(AttentionBackend) - {AttentionBackend.SDPA}


@pytest.mark.parametrize(
    ("able", "asked", "planned"),
    [
        (Abilities(), {"attention": "flash"}, AttentionBackend.FLASH),
        (Abilities(attentions=frozenset({AttentionBackend.SDPA})), {"attention": "flash"}, AttentionBackend.SDPA),
    ],
)
def test_the_plan_takes_what_is_asked_for_and_can_be_had(
    able: Abilities, asked: dict[str, Any], planned: AttentionBackend
) -> None:
    settings = DeploymentSettings(model="t2v-A14B", compile=True, cache=StepCache.TAYLOR_SEER, **asked)
    found = assess(CATALOGUE.find("t2v-A14B"), settings, hardware(gpu(141)), host(512), abilities=able)
    assert found.plan is not None
    assert (found.plan.attention, found.plan.cache, found.plan.compile) == (planned, StepCache.TAYLOR_SEER, True)


def test_old_cards_have_no_kernels_of_flash_attention() -> None:
    settings = DeploymentSettings(model="ti2v-5B", attention=AttentionBackend.FLASH)
    turing = gpu(48, name="Quadro RTX 8000", compute_capability="7.5")
    found = assess(CATALOGUE.find("ti2v-5B"), settings, hardware(turing), host(512))
    assert found.plan is not None
    assert found.plan.attention is AttentionBackend.SDPA


def test_the_fast_profile_offers_every_cache() -> None:
    assert find_profile("fast").caches == tuple(StepCache)
    assert OffloadMode.SEQUENTIAL not in find_profile("fast").offloads


def test_loras_count_by_their_header(tmp_path: Path) -> None:
    file = tmp_path / "style.safetensors"
    tensors = {"a.lora_A.weight": np.zeros((4, 64), np.float16), "a.lora_B.weight": np.zeros((64, 4), np.float16)}
    save_file({**tensors, "a.alpha": np.array(1.0, np.float32)}, file)
    both, low, gone = {"path": file}, {"path": file, "expert": "low_noise"}, {"path": tmp_path / "gone.safetensors"}

    def counted(*loras: dict[str, Any]) -> int:
        return lora_parameters(DeploymentSettings(model="t2v-A14B", loras=list(loras)).loras)

    assert counted() == 0
    assert counted(both) == counted(low) == 512
    assert counted(both, low, gone) == 1024
    planned = assess(
        CATALOGUE.find("t2v-A14B"),
        DeploymentSettings(model="t2v-A14B"),
        hardware(gpu(141)),
        host(512),
        lora_parameters=counted(both),
    ).plan
    assert planned is not None
    assert planned.lora_parameters == 512
    assert planned.quantization is Quantization.NONE
