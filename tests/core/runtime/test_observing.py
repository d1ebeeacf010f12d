"""What is read from a worker's messages in passing: stages of a load, peaks of memory by phase."""

from wan_tui.core.runtime.observing import LoadStages, PhasePeaks
from wan_tui.core.runtime.protocol import Memory
from wan_tui.core.words import Phase


def held(reserved: int | None, peak: int | None = None) -> Memory:
    return Memory(resident_bytes=1, allocated_bytes=reserved, reserved_bytes=reserved, peak_bytes=peak)


def test_a_stage_lasts_until_the_next_and_starting_the_process_is_the_first() -> None:
    stages = LoadStages(began_at=100.0)
    for stage, at in (("vae", 104.0), ("text encoder and transformer", 105.5), ("measure", 112.0)):
        stages.began(stage, at)
    assert stages.ended(113.0) == {"start": 4.0, "vae": 1.5, "text encoder and transformer": 6.5, "measure": 1.0}


def test_a_clock_that_goes_back_makes_no_negative_stage() -> None:
    stages = LoadStages(began_at=100.0)
    stages.began("vae", 90.0)
    assert stages.ended(95.0) == {"start": 0.0, "vae": 5.0}


def test_each_phase_has_the_most_that_was_held_in_it() -> None:
    peaks = PhasePeaks()
    peaks.saw("1", Phase.TEXT_ENCODE, held(11))
    peaks.saw("1", Phase.DENOISE_HIGH_NOISE, held(20))
    peaks.saw("1", Phase.DENOISE_HIGH_NOISE, held(27))
    peaks.saw("1", Phase.DENOISE_HIGH_NOISE, held(21))
    assert peaks.of("1") == {Phase.TEXT_ENCODE: 11, Phase.DENOISE_HIGH_NOISE: 27}


def test_torchs_own_peak_counts_only_where_it_grew_within_a_phase() -> None:
    peaks = PhasePeaks()
    peaks.saw("1", Phase.TEXT_ENCODE, held(10, peak=12))
    peaks.saw("1", Phase.DENOISE_HIGH_NOISE, held(20, peak=30))
    assert peaks.of("1")[Phase.DENOISE_HIGH_NOISE] == 20, "the 30 may have been reached before"
    peaks.saw("1", Phase.DENOISE_HIGH_NOISE, held(20, peak=35))
    peaks.saw("1", Phase.VAE_DECODE, held(8, peak=35))
    assert peaks.of("1") == {Phase.TEXT_ENCODE: 10, Phase.DENOISE_HIGH_NOISE: 35, Phase.VAE_DECODE: 8}


def test_a_job_begins_with_nothing_and_a_cpu_reports_nothing() -> None:
    peaks = PhasePeaks()
    peaks.saw("1", Phase.VAE_DECODE, held(9))
    peaks.saw("2", Phase.TEXT_ENCODE, held(None))
    assert peaks.of("1") == {}
    assert peaks.of("2") == {}
