"""What a poll reads of the host besides its GPUs: a sample, and where the checkpoints of its deployments are."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from wan_tui.core.catalog import Catalogue
from wan_tui.core.catalog.checkpoints import find_checkpoint
from wan_tui.core.config import Settings
from wan_tui.core.hardware.host import HostProbe
from wan_tui.core.hardware.look import with_cpu_rate
from wan_tui.core.hardware.samples import HostSample


class HostReader:
    """``sample`` is for another host than this one. Reads disks: call it in a thread."""

    def __init__(self, settings: Settings, catalogue: Catalogue, sample: Callable[[], HostSample] | None) -> None:
        self._catalogue = catalogue
        self._sample = sample
        self._cpu_rate: float | None = None  # 0 when it cannot be measured
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """From now on."""
        self._settings = settings
        paths = settings.paths
        self._probe = HostProbe({"models": paths.models, "outputs": paths.outputs, "cache": paths.cache})

    def read(self) -> tuple[HostSample, Mapping[str, Path | None]]:
        """The host now, and the checkpoint of every deployment, None where there is none."""
        paths = self._settings.paths
        checkpoints = {
            name: find_checkpoint(self._catalogue.find(deployment.model), paths.models, deployment.checkpoint)
            for name, deployment in self._settings.replicas.items()
        }
        if self._sample is not None:
            return self._sample(), checkpoints
        sample = self._probe.sample()
        if self._cpu_rate is None:
            self._cpu_rate = with_cpu_rate(sample, paths.cache).matmul_flop_per_second or 0.0
        return dataclasses.replace(sample, matmul_flop_per_second=self._cpu_rate or None), checkpoints
