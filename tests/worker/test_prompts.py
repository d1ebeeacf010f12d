"""A prompt that comes again needs no text encoder, and nothing is learnt from a stage that was skipped."""

from dataclasses import replace
from pathlib import Path

import torch

from tests.core.runtime.harness import job, request, settings, until
from wan_tui.core.engine import Engine
from wan_tui.core.history.reading import read_history
from wan_tui.core.history.records import Kind
from wan_tui.core.words import Phase, Quantization
from wan_tui.worker.prompts import Encoded, PromptCache, PromptKey

KEY = PromptKey("a red circle", "", Quantization.NONE)


def encoded(value: float) -> Encoded:
    return Encoded(torch.full((1, 4, 8), value), None)


def test_the_same_prompt_is_found_and_any_other_is_not() -> None:
    cache = PromptCache()
    cache.put(KEY, encoded(1.0))
    found = cache.get(KEY)
    assert found is not None
    assert torch.equal(found.prompt, encoded(1.0).prompt)
    for other in (
        replace(KEY, prompt="a blue circle"),
        replace(KEY, negative_prompt="blur"),
        replace(KEY, negative_prompt=None),
        replace(KEY, quantization=Quantization.NF4),
    ):
        assert cache.get(other) is None


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache = PromptCache(kept=2)
    first, second, third = (replace(KEY, prompt=name) for name in ("one", "two", "three"))
    cache.put(first, encoded(1.0))
    cache.put(second, encoded(2.0))
    assert cache.get(first) is not None
    cache.put(third, encoded(3.0))
    assert cache.get(second) is None
    assert cache.get(first) is not None
    assert cache.get(third) is not None


async def test_a_repeated_prompt_skips_its_encoding_and_says_so(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        first = await engine.generate(request())
        same = await engine.generate(request(seed=2))
        other = await engine.generate(request(prompt="a blue square"))
        done = await until(engine, lambda s: all(found.state.ended for found in s.jobs))
    seconds = {
        job_id: next(stage.seconds for stage in job(done, job_id).stages if stage.stage is Phase.TEXT_ENCODE)
        for job_id in (first, same, other)
    }
    assert seconds[same] < 0.2 * min(seconds[first], seconds[other])
    assert [notice for notice in job(done, same).notices if "was skipped" in notice]
    assert not job(done, first).notices
    assert not job(done, other).notices
    estimate = job(done, same).estimate
    assert estimate is not None
    assert Phase.TEXT_ENCODE not in {stage.stage for stage in estimate.stages}, "or the estimate would look too high"

    runs = [record for record in read_history(home / "history.sqlite3") if record.kind is Kind.RUN]
    learnt = [{figure.stage for figure in record.figures} for record in reversed(runs)]
    assert [Phase.TEXT_ENCODE in stages for stages in learnt] == [True, False, True]
    assert all(Phase.VAE_DECODE in stages for stages in learnt)
