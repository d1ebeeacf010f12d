"""What is installed on this host and what room it has: read without importing any of it, judged purely."""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from wan_tui.core.catalog import Model
from wan_tui.core.hardware.samples import DriverStatus, HostSample
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.planning.planner import Abilities
from wan_tui.core.units import format_bytes
from wan_tui.core.validation.findings import Finding
from wan_tui.core.validation.judgement import Judgement
from wan_tui.core.validation.options import COMPILER, KERNELS, QUANTIZERS, abilities, toolchain
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.words import Verdict

DISTRIBUTION = "wan-tui"
Libraries = Callable[[], Mapping[str, str]]
"""Tells the versions of the libraries that matter to workers, by name."""
# A clip takes some 10 MB; with less than this a few days of work no longer fit.
OUTPUT_SPACE_BYTES = 2 << 30

_HOST_CODES = ("WAN501", "WAN502", "WAN503", "WAN504", "WAN506")
_DEPLOYMENT_CODES = ("WAN505", "WAN507")
_WHERE = "this host"


def required_libraries() -> dict[str, Requirement]:
    """What the workers need, by name, as this distribution declares it; nothing when run without installing."""
    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    wanted = {"extra": "inference"}
    entries = (Requirement(text) for text in declared)
    return {entry.name: entry for entry in entries if entry.marker is not None and entry.marker.evaluate(wanted)}


def installed_libraries() -> dict[str, str]:
    """Versions of the installed libraries that matter to workers, CUDA's runtime among them."""
    runtimes = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu13")
    kernels = [name for name, _ in KERNELS.values()]
    names = (*required_libraries(), *sorted(set(QUANTIZERS.values())), *kernels, COMPILER, *runtimes)
    return {name: version for name in names if (version := _version(name)) is not None}


def host_abilities(libraries: Mapping[str, str]) -> Abilities:
    """What this host can run, by what is installed on it."""
    gpus = builds_for_gpus(libraries)
    return abilities(libraries, toolchain(for_gpus=gpus), for_gpus=gpus)


def builds_for_gpus(libraries: Mapping[str, str]) -> bool:
    """Whether torch would compile for GPUs here."""
    return torch_cuda(libraries) not in (None, "cpu")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def torch_cuda(libraries: Mapping[str, str]) -> str | None:
    """CUDA version that torch was built for: ``12.8``; ``cpu`` for a build without; None when nobody can tell.

    Wheels of torch's own index say it in the version (2.9.0+cu128), those of PyPI by the runtime they depend on.
    """
    local = libraries.get("torch", "").partition("+")[2]
    if cuda := re.fullmatch(r"cu(\d+)(\d)", local):
        return f"{cuda[1]}.{cuda[2]}"
    if local:
        return "cpu"
    runtimes = [version for name, version in libraries.items() if name.startswith("nvidia-cuda-runtime")]
    return ".".join(runtimes[0].split(".")[:2]) if runtimes else None


def judge_host(libraries: Mapping[str, str], driver: DriverStatus, host: HostSample) -> Judgement:
    """Driver, libraries and free space: the same for every deployment."""
    findings = [*_cuda(libraries, driver), *_libraries(libraries), *_outputs(host)]
    skipped: dict[str, str] = {}
    cuda = torch_cuda(libraries)
    if "torch" not in libraries:
        skipped |= dict.fromkeys(("WAN501", "WAN502"), "torch is not installed")
    elif not driver.present:
        skipped |= dict.fromkeys(("WAN501", "WAN502"), "no NVIDIA driver on this host")
    elif cuda is None:
        skipped |= dict.fromkeys(("WAN501", "WAN502"), "the CUDA version of this torch is not known")
    elif cuda == "cpu":
        skipped["WAN501"] = "torch is built without CUDA"
    elif driver.cuda_driver_version is None:
        skipped["WAN501"] = "the driver does not tell its CUDA version"
    if not any(volume.volume == "outputs" for volume in host.volumes):
        skipped["WAN506"] = "the directory for videos cannot be read"
    return Judgement(_HOST_CODES, tuple(findings), skipped)


def judge_room(
    where: str, model: Model, compatibility: Compatibility, *, has_weights: bool, host: HostSample
) -> Judgement:
    """Disk for the download of a deployment, memory of the host for its plan."""
    findings = []
    skipped: dict[str, str] = {}
    free = next((volume.free_bytes for volume in host.volumes if volume.volume == "models"), None)
    needed = sum(part.published_bytes for _, part in model.components)
    if has_weights:
        skipped["WAN505"] = "the weights are here"
    elif free is None:
        skipped["WAN505"] = "the directory for models cannot be read"
    elif free < needed:
        message = f"{model.id} takes {format_bytes(needed)} on disk, {format_bytes(free)} are free"
        findings.append(finding("WAN505", where, message))
    memory = compatibility.memory
    if memory is None or compatibility.verdict is Verdict.INCOMPATIBLE:
        skipped["WAN507"] = "there is no plan that could run"
    elif max(memory.host_bytes, memory.host_load_bytes) > host.memory_available_bytes:
        kept, available = format_bytes(memory.host_bytes), format_bytes(host.memory_available_bytes)
        loading = f"the plan keeps {kept} in host memory, {format_bytes(memory.host_load_bytes)} while loading"
        findings.append(finding("WAN507", where, f"{loading}, {available} are free"))
    return Judgement(_DEPLOYMENT_CODES, tuple(findings), skipped)


def _cuda(libraries: Mapping[str, str], driver: DriverStatus) -> Iterator[Finding]:
    cuda = torch_cuda(libraries)
    if cuda is None or not driver.present:
        return
    if cuda == "cpu":
        yield finding("WAN502", _WHERE, f"torch {libraries['torch']} is a build without CUDA")
    elif (ours := driver.cuda_driver_version) is not None and _major(ours) < _major(cuda):
        newest = f"driver {driver.driver_version} runs CUDA {ours} at most"
        yield finding("WAN501", _WHERE, f"torch {libraries['torch']} needs CUDA {cuda}, {newest}")


def _major(version: str) -> int:
    # By CUDA's minor version compatibility any driver of a major version runs all of it.
    digits = version.split(".")[0]
    return int(digits) if digits.isdigit() else 0


def _libraries(libraries: Mapping[str, str]) -> Iterator[Finding]:
    required = required_libraries()
    missing = [name for name in required if name not in libraries]
    if missing:
        yield finding("WAN503", _WHERE, f"not installed: {', '.join(missing)}")
    for name, requirement in required.items():
        version = libraries.get(name)
        if version is not None and not _good_enough(version, requirement):
            yield finding("WAN504", _WHERE, f"{name} {version} is installed, needed is {requirement.specifier}")


def _good_enough(version: str, requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _outputs(host: HostSample) -> Iterator[Finding]:
    for volume in host.volumes:
        if volume.volume == "outputs" and volume.free_bytes < OUTPUT_SPACE_BYTES:
            yield finding("WAN506", volume.path, f"{format_bytes(volume.free_bytes)} are free")
