"""The NVML probe against a simulated driver: every GPU a row, whatever its neighbours and the driver do."""

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import simnvml
from tests.core.hardware.conftest import DEADLINE_SECONDS, SimulatedHost
from tests.simnvml import FUNCTION_NOT_FOUND, GIB, NOT_SUPPORTED, Scenario, SimGpu, SimProcess, SimSlice
from tests.simnvml.sampler import Sampler
from wan_tui.core.hardware.samples import DriverStatus, GpuProcess, GpuSample, HardwareSample, MigDevice

PATIENCE_SECONDS = 20


def eventually(sampler: Sampler, holds: Callable[[HardwareSample], bool]) -> HardwareSample:
    """The first sample for which ``holds``; the last one when patience ends, for the test's assertion to show."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds(sample := sampler.sample()) and time.monotonic() < end:
        time.sleep(0.1)
    return sample


def ups(sample: HardwareSample) -> list[bool]:
    return [gpu.up for gpu in sample.gpus]


# A host without a driver ------------------------------------------------------------------------------------------


def test_a_host_without_a_driver_is_a_normal_host(tmp_path: Path) -> None:
    with Sampler(simnvml.environment_without_driver(tmp_path), DEADLINE_SECONDS) as sampler:
        assert sampler.sample() == HardwareSample(DriverStatus(present=False, up=False, message="no NVIDIA driver"))
        assert sampler.finish() == 0


def test_a_driver_without_gpus_is_up(host: SimulatedHost) -> None:
    host.says(Scenario())
    sample = host.probe().sample()
    assert sample.gpus == ()
    assert (sample.driver.present, sample.driver.up) == (True, True)


# Readings ---------------------------------------------------------------------------------------------------------


def test_every_field_of_eight_gpus_in_our_units(host: SimulatedHost) -> None:
    host.says(
        Scenario(gpus=[SimGpu(memory_used_bytes=n * GIB, throttle_mask=0b10000100, mig_mode=1) for n in range(8)])
    )
    sample = host.probe().sample()

    assert sample.driver == DriverStatus(
        present=True,
        up=True,
        message="ok",
        driver_version="550.54.15",
        nvml_version="12.550.54.15",
        cuda_driver_version="12.4",
    )
    assert len(sample.gpus) == 8
    for index, gpu in enumerate(sample.gpus):
        assert gpu.sampled_at == pytest.approx(time.time(), abs=60)
        assert gpu == GpuSample(
            index=index,
            uuid=f"GPU-{index:08x}-0000-4000-8000-000000000000",
            name="NVIDIA GeForce RTX 4090",
            up=True,
            sampled_at=gpu.sampled_at,
            pci_bus_id=f"00000000:{index + 1:02X}:00.0",
            compute_capability="8.9",
            mig_mode="enabled",
            memory_total_bytes=24 * GIB,
            memory_used_bytes=index * GIB,
            memory_reserved_bytes=GIB // 2,
            memory_free_bytes=24 * GIB - index * GIB - GIB // 2,
            utilization_ratio=0.42,
            memory_activity_ratio=0.17,
            temperature_celsius=51.0,
            memory_temperature_celsius=64.0,
            temperature_slowdown_celsius=88.0,
            temperature_shutdown_celsius=92.0,
            power_watts=123.456,
            power_limit_watts=450.0,
            energy_joules=7000.5,
            fan_speed_ratio=0.35,
            sm_clock_hertz=2.520e9,
            sm_clock_max_hertz=3.105e9,
            memory_clock_hertz=10.501e9,
            memory_clock_max_hertz=10.501e9,
            throttle_reasons=("sw_power_cap", "hw_power_brake_slowdown"),
            ecc_corrected_errors=0,
            ecc_uncorrected_errors=0,
            remapped_rows_pending=False,
            remapped_rows_failure=False,
            pcie_link_generation=4,
            pcie_link_width=16,
            pcie_transmit_bytes=3 * GIB,
            pcie_receive_bytes=90 * GIB,
            nvlink_transmit_bytes=5 * 1024,
            nvlink_receive_bytes=6 * 1024,
            processes=(),
            recovery_action="none",
            mig_devices=(),
            xid_errors=(),
        )


def test_no_field_of_a_sample_is_forgotten_by_the_probe(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu(mig_mode=1)]))
    (gpu,) = host.probe().sample().gpus
    absent = {field.name for field in dataclasses.fields(gpu) if getattr(gpu, field.name) is None}
    assert absent == {"error"}


def test_memory_is_read_anew_each_time(host: SimulatedHost) -> None:
    gpu = SimGpu(memory_used_bytes=2 * GIB)
    host.says(Scenario(gpus=[gpu]))
    sampler = host.probe()
    assert sampler.sample().gpus[0].memory_used_bytes == 2 * GIB

    gpu.memory_used_bytes = 20 * GIB
    host.says(Scenario(gpus=[gpu]))
    assert sampler.sample().gpus[0].memory_used_bytes == 20 * GIB


def test_unsupported_fields_are_absent_and_take_nothing_else_away(host: SimulatedHost) -> None:
    bare = SimGpu(
        fan_speed_percent=None,
        memory_temperature_celsius=None,
        ecc_corrected_errors=None,
        errors={
            "nvmlDeviceGetPowerUsage": simnvml.NO_PERMISSION,
            "nvmlDeviceGetTotalEnergyConsumption": simnvml.FUNCTION_NOT_FOUND,
            "nvmlDeviceGetUtilizationRates": simnvml.UNKNOWN,  # a broken sensor
        },
    )
    host.says(Scenario(gpus=[bare]))
    sampler = host.probe()
    for _again in range(2):
        (gpu,) = sampler.sample().gpus
        assert gpu.up
        assert gpu.fan_speed_ratio is None
        assert gpu.memory_temperature_celsius is None
        assert gpu.ecc_corrected_errors is None
        assert gpu.power_watts is None
        assert gpu.energy_joules is None
        assert gpu.utilization_ratio is None
        assert gpu.memory_used_bytes == GIB
        assert gpu.ecc_uncorrected_errors == 0
        assert gpu.power_limit_watts == 450.0


def test_an_older_driver_is_read_through_its_older_functions(host: SimulatedHost) -> None:
    newer = (
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetCurrentClocksEventReasons",
    )
    host.says(
        Scenario(gpus=[SimGpu(throttle_mask=1, errors=dict.fromkeys(newer, simnvml.FUNCTION_NOT_FOUND))]),
    )
    (gpu,) = host.probe().sample().gpus
    assert gpu.memory_reserved_bytes is None
    assert gpu.memory_used_bytes == GIB + GIB // 2  # the older call counts reserved memory as used
    assert gpu.temperature_celsius == 51.0
    assert gpu.throttle_reasons == ("gpu_idle",)


def test_processes_with_their_memory_and_name(host: SimulatedHost) -> None:
    nobody = 2**22 + 1  # above the highest pid that Linux gives
    host.says(
        Scenario(
            gpus=[
                SimGpu(
                    processes=[
                        SimProcess(nobody, 3 * GIB, "/usr/bin/python3"),
                        SimProcess(nobody, 3 * GIB, graphics=True),
                        SimProcess(nobody + 1, None),
                        SimProcess(os.getpid(), GIB, graphics=True),
                    ]
                )
            ]
        )
    )
    (gpu,) = host.probe().sample().gpus
    assert gpu.processes is not None
    this, *others = gpu.processes
    assert (this.pid, this.used_memory_bytes) == (os.getpid(), GIB)
    assert this.name is not None  # from the operating system, since the driver does not tell it
    assert others == [GpuProcess(nobody, 3 * GIB, "python3"), GpuProcess(nobody + 1, None, None)]


# Lost GPUs --------------------------------------------------------------------------------------------------------


def test_a_lost_gpu_keeps_its_row_and_comes_back(host: SimulatedHost) -> None:
    scenario = Scenario(gpus=[SimGpu() for _ in range(3)])
    host.says(scenario)
    sampler = host.probe()
    before = sampler.sample()
    assert ups(before) == [True, True, True]

    scenario.gpus[1].lost = True
    host.says(scenario)
    during = sampler.sample()
    assert ups(during) == [True, False, True]
    lost, was = during.gpus[1], before.gpus[1]
    assert lost.error == "GPU is lost"
    for identity in ("index", "uuid", "name", "pci_bus_id", "compute_capability", "memory_total_bytes"):
        assert getattr(lost, identity) == getattr(was, identity) is not None
    assert lost.memory_used_bytes is None
    assert lost.temperature_celsius is None
    assert during.driver.up

    scenario.gpus[1].lost = False
    host.says(scenario)
    after = sampler.sample()
    assert ups(after) == [True, True, True]
    assert after.gpus[1].error is None
    assert after.gpus[1].uuid == was.uuid


def test_a_gpu_that_is_lost_between_two_calls_of_one_reading_is_down(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu(errors={"nvmlDeviceGetFanSpeed": simnvml.GPU_IS_LOST})]))
    assert ups(host.probe().sample()) == [False]


def test_a_gpu_that_cannot_be_enumerated_does_not_blank_the_others(host: SimulatedHost) -> None:
    broken = SimGpu(errors={"nvmlDeviceGetHandleByIndex_v2": simnvml.UNKNOWN})
    host.says(Scenario(gpus=[SimGpu(), broken, SimGpu()]))
    sampler = host.probe()
    sample = sampler.sample()
    assert ups(sample) == [True, False, True]
    assert (sample.gpus[1].index, sample.gpus[1].uuid, sample.gpus[1].error) == (1, "", "Unknown Error")

    broken.errors.clear()
    host.says(Scenario(gpus=[SimGpu(), broken, SimGpu()]))
    sample = sampler.sample()
    assert ups(sample) == [True, True, True]
    assert sample.gpus[1].uuid.startswith("GPU-")


def test_a_gpu_that_the_driver_no_longer_counts_keeps_its_row(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu(), SimGpu()]))
    sampler = host.probe()
    before = sampler.sample()
    host.says(Scenario(gpus=[SimGpu()]))
    sampler.sample()
    after = sampler.sample()
    assert ups(after) == [True, False]
    assert after.gpus[1].uuid == before.gpus[1].uuid
    assert after.gpus[1].error == "no longer reported by the driver"


# Hanging calls ----------------------------------------------------------------------------------------------------


def test_a_hanging_gpu_is_down_the_others_answer_and_it_recovers_by_itself(host: SimulatedHost) -> None:
    scenario = Scenario(gpus=[SimGpu() for _ in range(4)])
    host.says(scenario)
    sampler = host.probe(DEADLINE_SECONDS)
    healthy = sampler.observe()
    assert ups(healthy.sample) == [True] * 4

    scenario.gpus[2].hang = "nvmlDeviceGetPowerUsage"
    host.says(scenario)
    first = sampler.observe()
    assert first.seconds >= DEADLINE_SECONDS
    assert first.loop_ticks > 5, "the event loop stood still during the call"
    stuck = [first, *(sampler.observe() for _ in range(20))]
    for observation in stuck:
        assert observation.seconds < PATIENCE_SECONDS / 4
        assert ups(observation.sample) == [True, True, False, True]
        assert observation.gpus[2].uuid == healthy.gpus[2].uuid
        assert observation.gpus[2].error == f"driver call did not answer within {DEADLINE_SECONDS} s"
        assert observation.sample.driver.up
        assert observation.sample.driver.stuck_calls == 1
        assert observation.threads == healthy.threads
    assert sum(observation.seconds for observation in stuck[1:]) < 20 * DEADLINE_SECONDS, "each sample waited again"

    scenario.gpus[2].hang = None
    host.says(scenario)
    recovered = eventually(sampler, lambda sample: all(ups(sample)))
    assert ups(recovered) == [True] * 4
    assert recovered.driver.stuck_calls == 0
    assert sampler.observe().threads == healthy.threads


def test_two_hanging_gpus_cost_one_deadline_and_count_twice(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu(hang="*"), SimGpu(), SimGpu(hang="nvmlDeviceGetName")]))
    sample = host.probe(DEADLINE_SECONDS).sample()
    assert ups(sample) == [False, True, False]
    assert sample.driver.stuck_calls == 2


def test_a_driver_that_hangs_while_it_starts_comes_up_when_it_answers(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu()], hang="nvmlInitWithFlags"))
    sampler = host.probe(DEADLINE_SECONDS)
    for _again in range(3):
        sample = sampler.sample()
        assert sample.gpus == ()
        assert (sample.driver.up, sample.driver.stuck_calls) == (False, 1)
        assert sample.driver.message == f"driver call did not answer within {DEADLINE_SECONDS} s"

    host.says(Scenario(gpus=[SimGpu()]))
    sample = eventually(sampler, lambda sample: sample.driver.up)
    assert ups(sample) == [True]
    assert sample.driver.stuck_calls == 0


def test_a_driver_that_hangs_while_it_enumerates_does_not_take_its_gpus_down(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu(), SimGpu()]))
    sampler = host.probe(DEADLINE_SECONDS)
    sampler.sample()
    host.says(Scenario(gpus=[SimGpu(), SimGpu()], hang="nvmlDeviceGetCount_v2"))
    for _again in range(2):
        sample = sampler.sample()
        assert (sample.driver.up, sample.driver.stuck_calls) == (False, 1)
        assert ups(sample) == [True, True]


def test_a_process_ends_although_a_call_hangs(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu(), SimGpu(hang="*")]))
    sampler = host.probe(DEADLINE_SECONDS)
    assert sampler.sample().driver.stuck_calls == 1
    assert sampler.finish() == 0


# A driver that does not start -------------------------------------------------------------------------------------


def test_a_driver_that_fails_to_start_is_present_but_down_and_is_asked_again(host: SimulatedHost) -> None:
    failing = Scenario(gpus=[SimGpu()], errors={"nvmlInitWithFlags": simnvml.DRIVER_NOT_LOADED})
    host.says(failing)
    sampler = host.probe()
    assert sampler.sample() == HardwareSample(DriverStatus(present=True, up=False, message="Driver Not Loaded"))

    host.says(Scenario(gpus=[SimGpu()]))
    sample = eventually(sampler, lambda sample: sample.driver.up)
    assert ups(sample) == [True]
    assert sample.driver.message == "ok"


def test_a_driver_that_stops_working_leaves_every_gpu_down_with_the_reason(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu(), SimGpu()]))
    sampler = host.probe()
    before = sampler.sample()
    host.says(Scenario(gpus=[SimGpu(), SimGpu()], errors={"nvmlDeviceGetCount_v2": simnvml.LIB_RM_VERSION_MISMATCH}))
    sample = sampler.sample()
    assert not sample.driver.up
    assert sample.driver.driver_version == "550.54.15"
    assert ups(sample) == [False, False]
    assert [gpu.uuid for gpu in sample.gpus] == [gpu.uuid for gpu in before.gpus]
    assert {gpu.error for gpu in sample.gpus} == {"RM has detected an NVML/RM version mismatch."}

    host.says(Scenario(gpus=[SimGpu(), SimGpu()]))
    assert ups(eventually(sampler, lambda sample: sample.driver.up)) == [True, True]


def test_a_driver_that_forgot_this_process_is_started_again(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu()]))
    sampler = host.probe()
    sampler.sample()
    host.says(Scenario(gpus=[SimGpu()], errors={"nvmlDeviceGetCount_v2": simnvml.UNINITIALIZED}))
    assert not sampler.sample().driver.up

    host.says(Scenario(gpus=[SimGpu()]))
    assert ups(eventually(sampler, lambda sample: sample.driver.up)) == [True]


# MIG, Xid and recovery --------------------------------------------------------------------------------------------


def test_the_slices_of_a_gpu_in_mig_mode(host: SimulatedHost) -> None:
    slices = [SimSlice(0, "3g.40gb", 1, 40 * GIB, 11 * GIB), SimSlice(3, "1g.10gb", 9, None, None)]
    host.says(Scenario(gpus=[SimGpu(mig_mode=1, slices=slices), SimGpu(mig_mode=0), SimGpu(mig_mode=None)]))
    split, whole, other = host.probe().sample().gpus
    assert split.mig_devices == (
        MigDevice(
            uuid="MIG-00000000-0000-4000-8000-000000000000",
            gpu_instance_id=1,
            compute_instance_id=0,
            profile="3g.40gb",
            memory_total_bytes=40 * GIB,
            memory_used_bytes=11 * GIB,
        ),
        MigDevice(
            uuid="MIG-00000003-0000-4000-8000-000000000000",
            gpu_instance_id=9,
            compute_instance_id=0,
            profile="1g.10gb",
        ),
    )
    assert (whole.mig_devices, other.mig_devices) == (None, None)


def test_xids_are_counted_and_outlive_their_gpu(host: SimulatedHost) -> None:
    scenario = Scenario(gpus=[SimGpu(), SimGpu(errors={"nvmlDeviceRegisterEvents": NOT_SUPPORTED})])
    host.says(scenario)
    sampler = host.probe()
    first, second = sampler.sample().gpus
    assert (first.xid_errors, second.xid_errors) == ((), None), "none yet, and a device that tells none"

    scenario.gpus[0].xids += [31, 79, 31]
    host.says(scenario)
    before = time.time()
    gpu = sampler.sample().gpus[0]
    assert gpu.xid_errors is not None
    assert [(entry.xid, entry.count) for entry in gpu.xid_errors] == [(31, 2), (79, 1)]
    assert all(before <= entry.last_at <= time.time() for entry in gpu.xid_errors)
    assert sampler.sample().gpus[0].xid_errors == gpu.xid_errors, "each event once"

    scenario.gpus[0].lost = True
    host.says(scenario)
    lost = sampler.sample().gpus[0]
    assert not lost.up
    assert lost.xid_errors == gpu.xid_errors


def test_a_driver_without_events_takes_nothing_else_away(host: SimulatedHost) -> None:
    host.says(Scenario(gpus=[SimGpu()], errors={"nvmlEventSetWait_v2": FUNCTION_NOT_FOUND}))
    sampler = host.probe()
    for _again in range(3):
        (gpu,) = sampler.sample().gpus
        assert gpu.up
        assert gpu.xid_errors is None


@pytest.mark.parametrize(("code", "word"), [(0, "none"), (1, "gpu_reset"), (4, "drain_and_reset"), (99, "other")])
def test_what_the_driver_asks_for(host: SimulatedHost, code: int, word: str) -> None:
    host.says(Scenario(gpus=[SimGpu(recovery_action=code)]))
    (gpu,) = host.probe().sample().gpus
    assert gpu.recovery_action == word


def test_byte_counters_that_are_too_narrow_or_not_there_are_absent(host: SimulatedHost) -> None:
    bare = SimGpu(pcie_receive_bytes=None, nvlink_transmit_kibibytes=None, nvlink_receive_kibibytes=None)
    host.says(Scenario(gpus=[SimGpu(pcie_counters_of_32_bits=1), bare]))
    narrow, none = host.probe().sample().gpus
    assert (narrow.pcie_transmit_bytes, narrow.pcie_receive_bytes) == (None, None)
    assert narrow.nvlink_transmit_bytes == 5 * 1024
    assert (none.pcie_transmit_bytes, none.pcie_receive_bytes) == (3 * GIB, None)
    assert (none.nvlink_transmit_bytes, none.nvlink_receive_bytes) == (None, None)
