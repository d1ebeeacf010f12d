"""The simulated host: its GPUs, what they hold and do, and what the driver says about them."""

import asyncio
import time
from dataclasses import dataclass, field

from wan_tui.core.hardware.samples import (
    DriverStatus,
    GpuProcess,
    GpuSample,
    HardwareSample,
    HostSample,
    VolumeSample,
    XidCount,
)

GIB, MIB = 1 << 30, 1 << 20
FOREIGN_PID = 4242
# What a driver call may take before it counts as stuck.
DEADLINE_SECONDS = 2.0
# A heat sink follows its load within a minute or two.
THERMAL_SECONDS = 90.0
ROOM_CELSIUS = 27.0


@dataclass(slots=True, kw_only=True)
class Card:
    """One simulated H100. ``load`` is the share of its arithmetic in use, ``slowness`` how much longer all takes.

    ``bloat``: how much more memory jobs take than planned. ``leaks``: the driver does not give memory of ended workers
    back. ``out_of_memory``: decoding fails; ``loads_fail``: loading does, for the same reason.
    """

    index: int
    up: bool = True
    load: float = 0.0
    slowness: float = 1.0
    bloat: float = 1.0
    leaks: bool = False
    out_of_memory: bool = False
    loads_fail: bool = False
    foreign_bytes: int = 0
    throttled_by: str | None = None
    cooling: float = 1.0
    ecc_corrected: int = 0
    ecc_uncorrected: int = 0
    remap_pending: bool = False
    remap_failure: bool = False
    recovery_action: str = "none"
    xids: dict[int, int] = field(default_factory=dict)
    xid_at: dict[int, float] = field(default_factory=dict)
    temperature: float = 36.0
    energy_joules: float = 3.1e6
    workers: dict[int, int] = field(default_factory=dict)

    @property
    def uuid(self) -> str:
        return f"GPU-de30de30-0000-4000-8000-00000000000{self.index}"

    @property
    def watts(self) -> float:
        return 74.0 + 590.0 * self.load / (1.0 if self.throttled_by is None else 2.0)

    def raise_xid(self, xid: int) -> None:
        self.xids[xid] = self.xids.get(xid, 0) + 1
        self.xid_at[xid] = time.time()

    def pass_time(self, seconds: float) -> None:
        target = ROOM_CELSIUS + (self.watts - 74.0) * 0.068 / self.cooling + 9.0
        self.temperature += (target - self.temperature) * min(seconds / THERMAL_SECONDS, 1.0)
        self.energy_joules += self.watts * seconds

    def sample(self, now: float) -> GpuSample:
        if not self.up:
            return self._lost(now, "GPU is lost: it has fallen off the bus")
        total, reserved = 81_559 * MIB, 551 * MIB
        used = sum(self.workers.values()) + self.foreign_bytes
        processes = [GpuProcess(pid, held, "wan-worker") for pid, held in sorted(self.workers.items())]
        if self.foreign_bytes:
            processes.append(GpuProcess(FOREIGN_PID, self.foreign_bytes, "python3"))
        reasons = [self.throttled_by] if self.throttled_by else ["gpu_idle"] if not self.load else []
        clock = (1_980e6 if self.load else 345e6) if self.throttled_by is None else 855e6
        return GpuSample(
            index=self.index,
            uuid=self.uuid,
            name="NVIDIA H100 80GB HBM3",
            up=True,
            sampled_at=now,
            pci_bus_id=f"00000000:{0x18 + self.index * 8:02X}:00.0",
            compute_capability="9.0",
            mig_mode="disabled",
            memory_total_bytes=total,
            memory_used_bytes=used,
            memory_reserved_bytes=reserved,
            memory_free_bytes=total - reserved - used,
            utilization_ratio=min(round(1.1 * self.load, 2), 1.0),
            memory_activity_ratio=round(0.55 * self.load, 2),
            temperature_celsius=round(self.temperature),
            memory_temperature_celsius=round(self.temperature) + 8,
            temperature_slowdown_celsius=87.0,
            temperature_shutdown_celsius=92.0,
            power_watts=round(self.watts, 1),
            power_limit_watts=700.0,
            energy_joules=round(self.energy_joules, 3),
            sm_clock_hertz=clock,
            sm_clock_max_hertz=1_980e6,
            memory_clock_hertz=2_619e6,
            memory_clock_max_hertz=2_619e6,
            throttle_reasons=tuple(reasons),
            ecc_corrected_errors=self.ecc_corrected,
            ecc_uncorrected_errors=self.ecc_uncorrected,
            remapped_rows_pending=self.remap_pending,
            remapped_rows_failure=self.remap_failure,
            pcie_link_generation=5 if self.load else 1,
            pcie_link_width=16,
            processes=tuple(processes),
            recovery_action=self.recovery_action,
            xid_errors=self._xids(),
        )

    def silent(self, now: float) -> GpuSample:
        return self._lost(now, f"no answer in {DEADLINE_SECONDS:g} s")

    def _lost(self, now: float, error: str) -> GpuSample:
        return GpuSample(
            index=self.index,
            uuid=self.uuid,
            name="NVIDIA H100 80GB HBM3",
            up=False,
            sampled_at=now,
            error=error,
            compute_capability="9.0",
            memory_total_bytes=81_559 * MIB,
            xid_errors=self._xids(),
        )

    def _xids(self) -> tuple[XidCount, ...]:
        return tuple(XidCount(xid, count, self.xid_at[xid]) for xid, count in sorted(self.xids.items()))


class World:
    """A host with ``cards`` H100s. Scripts and workers change it, the engine reads it as its probe and its host."""

    def __init__(self, cards: int) -> None:
        self.cards = tuple(Card(index=index) for index in range(cards))
        self.answers = asyncio.Event()
        self.answers.set()
        self.disk_slowness = 1.0
        self.outputs_free_bytes = 1_400 * GIB
        self.host_used_bytes = 61 * GIB
        self._sampled_at: float | None = None

    def card(self, uuid: str | None) -> Card | None:
        return next((card for card in self.cards if card.uuid == uuid), None)

    def host(self) -> HostSample:
        busy = sum(card.load for card in self.cards) / max(len(self.cards), 1)
        return HostSample(
            hostname="demo",
            cpu_name="AMD EPYC 9354 32-Core Processor",
            cpu_count=64,
            cpu_utilization_ratio=round(0.03 + 0.12 * busy, 3),
            memory_total_bytes=768 * GIB,
            memory_available_bytes=768 * GIB - self.host_used_bytes,
            sampled_at=time.time(),
            volumes=(
                VolumeSample("models", "/srv/wan/models", 2_048 * GIB, 811 * GIB),
                VolumeSample("outputs", "/srv/wan/outputs", 1_536 * GIB, self.outputs_free_bytes),
                VolumeSample("cache", "/srv/wan/cache", 512 * GIB, 388 * GIB),
            ),
            matmul_flop_per_second=2.4e12,
        )

    def libraries(self) -> dict[str, str]:
        """As a host has them that is set up well; this machine may have none."""
        return {
            "torch": "2.13.0+cu130",
            "diffusers": "0.42.1",
            "transformers": "5.23.0",
            "accelerate": "1.15.0",
            "safetensors": "0.8.0",
            "tokenizers": "0.23.0",
            "ftfy": "6.3.1",
            "av": "16.0.0",
            "numpy": "2.3.0",
            "pillow": "12.0.0",
            "gguf": "0.19.0",
            "peft": "0.20.0",
            "torchao": "0.16.0",
        }

    # What the engine expects of a probe.

    async def sample(self) -> HardwareSample:
        now = time.time()
        if self._sampled_at is not None:
            for card in self.cards:
                card.pass_time(now - self._sampled_at)
        self._sampled_at = now
        if not self.answers.is_set():
            await asyncio.sleep(DEADLINE_SECONDS)
            text = f"driver call did not return within {DEADLINE_SECONDS:g} s"
            status = DriverStatus(present=True, up=False, message=text, stuck_calls=len(self.cards))
            return HardwareSample(status, tuple(card.silent(now) for card in self.cards))
        await asyncio.sleep(0.004 * len(self.cards))
        gpus = tuple(card.sample(now) for card in self.cards)
        answering = sum(gpu.up for gpu in gpus)
        status = DriverStatus(
            present=True,
            up=True,
            message=f"{answering} of {len(gpus)} GPUs answer",
            driver_version="580.95.05",
            nvml_version="13.580.95.05",
            cuda_driver_version="13.0",
        )
        return HardwareSample(status, gpus)

    def close(self) -> None:
        """Nothing to let go of."""
