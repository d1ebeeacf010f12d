"""Execution options that a deployment asks for, against what is installed on this host. Pure but for ``toolchain``."""

import os
import shutil
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from wan_tui.core.catalog.profiles import Profile
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.planning.assess import as_deployed
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.planning.planner import CHOOSABLE, Abilities
from wan_tui.core.validation.findings import Finding
from wan_tui.core.validation.judgement import Judgement
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.words import AttentionBackend, Quantization, StepCache

CODES = ("WAN508", "WAN509", "WAN510", "WAN511")

# Libraries that make and run a quantization; what is not named needs none.
QUANTIZERS: Mapping[Quantization, str] = {
    Quantization.INT8: "torchao",
    Quantization.INT4: "torchao",
    Quantization.NF4: "bitsandbytes",
}
# Distributions of the attention kernels with the oldest versions that diffusers 0.42 takes (attention_dispatch.py).
KERNELS: Mapping[AttentionBackend, tuple[str, str]] = {
    AttentionBackend.FLASH: ("flash-attn", "2.6.3"),
    AttentionBackend.XFORMERS: ("xformers", "0.0.29"),
    AttentionBackend.SAGE: ("sageattention", "2.1.1"),
}
# Beside torch: it compiles for GPUs with Triton, whose wheels come with the CUDA builds of torch.
COMPILER = "triton"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What torch.compile builds its kernels with: a compiler (C for GPUs, C++ for processors) and Python's headers."""

    compiler: str | None
    headers: bool


def toolchain(*, for_gpus: bool) -> Toolchain:
    """What this host has of it; the environment's CC or CXX comes first, as with Triton and torch."""
    variable, names = ("CC", ("gcc", "clang")) if for_gpus else ("CXX", ("g++", "clang++"))
    wanted = [os.environ[variable]] if os.environ.get(variable) else names
    found = next((place for name in wanted if (place := shutil.which(name))), None)
    return Toolchain(found, Path(sysconfig.get_paths()["include"], "Python.h").is_file())


def compile_problem(libraries: Mapping[str, str], tools: Toolchain, *, for_gpus: bool) -> str | None:
    """Why torch.compile cannot work here, or None."""
    if for_gpus and COMPILER not in libraries:
        return "Triton is not installed"
    if tools.compiler is None:
        return "there is no C compiler" if for_gpus else "there is no C++ compiler"
    return None if tools.headers else "the headers of Python are not installed"


def kernel_problem(kind: AttentionBackend, libraries: Mapping[str, str]) -> str | None:
    """Why an attention kernel cannot be used here, or None."""
    if kind not in KERNELS:
        return None
    name, oldest = KERNELS[kind]
    version = libraries.get(name)
    if version is None:
        return f"{name} is not installed"
    try:
        return None if Version(version) >= Version(oldest) else f"{name} {version} is older than {oldest}"
    except InvalidVersion:
        return None


def abilities(libraries: Mapping[str, str], tools: Toolchain, *, for_gpus: bool) -> Abilities:
    """What the planner may choose on this host: without the libraries for it no plan could be loaded."""
    return Abilities(
        quantizations=frozenset(k for k in CHOOSABLE if k not in QUANTIZERS or QUANTIZERS[k] in libraries),
        attentions=frozenset(kind for kind in AttentionBackend if kernel_problem(kind, libraries) is None),
        compile=compile_problem(libraries, tools, for_gpus=for_gpus) is None,
    )


def judge_options(
    where: str,
    deployment: DeploymentSettings,
    profile: Profile,
    plan: ExecutionPlan | None,
    libraries: Mapping[str, str],
    tools: Toolchain,
) -> Judgement:
    """What ``deployment`` asks for and this host, or the plan, cannot do."""
    wanted = as_deployed(profile, deployment)
    on_cpu = wanted.cpu_only or deployment.device == "cpu" or (plan is not None and plan.device == "cpu")
    findings = [*_quantizers(where, wanted, libraries, on_cpu=on_cpu)]
    if not on_cpu:
        findings += _kernels(where, wanted, libraries)
    problem = compile_problem(libraries, tools, for_gpus=not on_cpu) if wanted.compile else None
    if problem is not None:
        findings.append(finding("WAN510", where, f"{problem}: the plan is without torch.compile"))
    asked = [kind for kind in wanted.attentions if kind in KERNELS]
    if not on_cpu:
        asked = [kind for kind in asked if kernel_problem(kind, libraries) is None]
    findings += _combinations(where, wanted, asked, plan, compiles=problem is None, on_cpu=on_cpu)
    skipped = {}
    if not wanted.compile:
        skipped["WAN510"] = "torch.compile is not asked for"
    if on_cpu:
        skipped["WAN509"] = "on a processor attention is torch's own"
    return Judgement(CODES, tuple(findings), skipped)


def _quantizers(where: str, wanted: Profile, libraries: Mapping[str, str], *, on_cpu: bool) -> Iterator[Finding]:
    """Only what the profile names counts: one that leaves the choice open gets what there is."""
    if on_cpu or wanted.quantizations == tuple(Quantization):
        return
    missing: dict[str, list[str]] = {}
    for kind in wanted.quantizations:
        if kind in QUANTIZERS and QUANTIZERS[kind] not in libraries:
            missing.setdefault(QUANTIZERS[kind], []).append(kind)
    for library, kinds in missing.items():
        message = f"{', '.join(kinds)} weights need {library}, which is not installed"
        yield finding("WAN508", where, message, f"pip install {library}")


def _kernels(where: str, wanted: Profile, libraries: Mapping[str, str]) -> Iterator[Finding]:
    for kind in wanted.attentions:
        if problem := kernel_problem(kind, libraries):
            name, oldest = KERNELS[kind]
            fix = f"pip install '{name}>={oldest}'" + (" --no-build-isolation" if name == "flash-attn" else "")
            yield finding("WAN509", where, f"{kind} attention: {problem}", f'{fix}, or use attention = "sdpa"')


def _combinations(
    where: str,
    wanted: Profile,
    asked: list[AttentionBackend],
    plan: ExecutionPlan | None,
    *,
    compiles: bool,
    on_cpu: bool,
) -> Iterator[Finding]:
    if wanted.compile and compiles and plan is not None and not plan.compile:
        why = "MagCache runs every block outside it" if plan.cache is StepCache.MAG else f"{plan.offload} offload"
        yield finding("WAN511", where, f"the plan is without torch.compile: {why}")
    if asked and on_cpu:
        yield finding("WAN511", where, f"{', '.join(asked)} attention needs a GPU: on a processor it is torch's own")
    elif asked and plan is not None and plan.attention not in wanted.attentions:
        message = f"the plan uses {plan.attention} attention: this card has no kernels of {', '.join(asked)}"
        yield finding("WAN511", where, message)
