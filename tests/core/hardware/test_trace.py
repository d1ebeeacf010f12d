"""The last hour of a GPU."""

from dataclasses import replace

from tests.snapshot_parts import AT, h100
from wan_tui.core.hardware.trace import GpuTraces


def test_readings_are_averaged_over_five_seconds_and_a_lost_gpu_is_a_gap() -> None:
    traces, gpu = GpuTraces(), h100(0)
    for second in range(10):
        traces.add([replace(gpu, utilization_ratio=second / 10, up=second < 5)], AT + second)
    trace = traces.of(gpu.uuid)
    assert trace is not None
    assert trace.at == (AT, AT + 5)
    assert trace.utilization_ratio == (0.2, None)
    assert trace.power_watts == (72.5, None)
    assert traces.of("GPU-nobody") is None


def test_an_hour_is_kept() -> None:
    traces, gpu = GpuTraces(), h100(0)
    for second in range(0, 7200, 5):
        traces.add([replace(gpu, temperature_celsius=float(second))], AT + second)
    trace = traces.of(gpu.uuid)
    assert trace is not None
    assert trace.at[-1] - trace.at[0] in (3595, 3600)
    assert trace.temperature_celsius[-1] == 7195


def test_before_the_first_reading_there_is_an_empty_course() -> None:
    traces, gpu = GpuTraces(), h100(0)
    traces.add([gpu], AT)
    trace = traces.of(gpu.uuid)
    assert trace is not None
    assert len(trace.at) == len(trace.utilization_ratio) == 1
