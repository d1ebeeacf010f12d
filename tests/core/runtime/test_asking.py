"""What-if questions: about deployments, about models, about cards that nobody has here. No worker is needed."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.planning.parts import NO_DRIVER, gpu, hardware, host
from tests.core.runtime.test_estimates import Host, deployment
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.errors import UsageError
from wan_tui.core.hardware.samples import HardwareSample
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.planning.questions import MAX_QUESTIONS, Assessment, Question
from wan_tui.core.planning.remedies import RUNS
from wan_tui.core.runtime.asking import Asker
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.judging import Judge
from wan_tui.core.validation.environment import installed_libraries
from wan_tui.core.words import Basis, LoadState, OffloadMode, Verdict


class Worker:
    """As much of a worker as judging looks at."""

    pid = 4242

    def send(self, command: object) -> None:
        raise AssertionError("a question sends nothing")

    async def stop(self, command: object, grace_seconds: float = 0.0) -> None:
        raise AssertionError("a question stops nothing")


def deployed(name: str, **settings: object) -> Deployment:
    wanted = DeploymentSettings.model_validate({"model": "t2v-A14B", **settings})
    return Deployment(
        name=name,
        settings=wanted,
        model=load_catalogue().find(wanted.model),
        compatibility=Compatibility(verdict=Verdict.UNKNOWN, reason=""),
        wanted_loaded=False,
    )


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Host]:
    found = Host(tmp_path / "history.sqlite3")
    yield found
    found.history.close()


def asker(
    here: Host, *deployments: Deployment, sample: HardwareSample | None = None, limits: LimitSettings | None = None
) -> Asker:
    settings = Settings(limits=limits or LimitSettings())
    sample, of_host = sample or hardware(gpu(24)), dataclasses.replace(host(256), matmul_flop_per_second=1e11)
    here.estimator.look_at(sample, of_host)
    return Asker(
        catalogue=load_catalogue(),
        deployments={one.name: one for one in deployments},
        judge=Judge(settings, here.estimator, installed_libraries()),
        estimator=here.estimator,
        limits=settings.limits,
        hardware=sample,
        host=of_host,
    )


async def one(asking: Asker, **question: object) -> Assessment:
    (answer,) = await asking.answer([Question(**question)])  # type: ignore[arg-type]
    return answer


async def test_a_deployment_is_answered_as_it_is_judged_and_is_not_changed(here: Host) -> None:
    story = deployed("story", defaults={"frames": 49})
    asking = asker(here, story)
    answer = await one(asking, deployment="story")
    judged = asking.judge.compatibility(story, asking.hardware, asking.host, [story])
    assert answer.compatibility == judged
    assert answer.clip.frames == 49
    assert answer.where.startswith("gpu:0 ")
    assert story.compatibility.reason == "", "the deployment itself is as it was"


async def test_more_frames_need_more_memory_and_more_time(here: Host) -> None:
    asking = asker(here, deployed("story", profile="resident-bf16"), sample=hardware(gpu(141)))
    short, long = await asking.answer([Question(deployment="story", frames=frames) for frames in (17, 81)])
    assert short.compatibility.memory is not None
    assert long.compatibility.memory is not None
    assert short.compatibility.memory.peak_bytes < long.compatibility.memory.peak_bytes
    assert short.time is not None
    assert long.time is not None
    assert short.time.total_seconds.expected < long.time.total_seconds.expected
    assert {stage.stage for stage in long.time.stages} >= {phase.phase for phase in long.compatibility.memory.phases}
    assert long.free_bytes == long.compatibility.memory.peak_bytes + (long.compatibility.headroom_bytes or 0)


async def test_a_batch_is_planned_for_the_batch(here: Host) -> None:
    asking = asker(here, deployed("story", profile="resident-bf16"), sample=hardware(gpu(141)))
    single, double = await asking.answer([Question(deployment="story", batch=batch) for batch in (1, 2)])
    assert double.compatibility.plan is not None
    assert double.compatibility.plan.batch == 2
    assert single.compatibility.memory is not None
    assert double.compatibility.memory is not None
    assert single.compatibility.memory.peak_bytes < double.compatibility.memory.peak_bytes
    assert single.time is not None
    assert double.time is not None
    assert single.time.total_seconds.expected < double.time.total_seconds.expected


async def test_what_does_not_fit_comes_with_remedies_unless_they_are_not_wanted(here: Host) -> None:
    asking = asker(here, deployed("story", profile="resident-bf16"))
    with_them, without = await asking.answer(
        [Question(deployment="story", remedies=wanted) for wanted in (True, False)]
    )
    assert with_them.compatibility.verdict not in RUNS
    assert {key for remedy in with_them.compatibility.remedies for key, _ in remedy.changes} >= {"profile"}
    assert without.compatibility == dataclasses.replace(with_them.compatibility, remedies=())


async def test_time_is_what_the_verdict_was_made_with_until_this_host_knows_better(here: Host) -> None:
    """The text encoder on the processors of the host takes its time in both."""
    asking = asker(here, deployed("story"))
    answer = await one(asking, deployment="story")
    assert answer.time is not None
    assert answer.compatibility.seconds is not None
    assert answer.time.total_seconds.expected == pytest.approx(answer.compatibility.seconds.expected)


async def test_another_profile_is_another_plan(here: Host) -> None:
    asking = asker(here, deployed("story", profile="resident-bf16"))
    answer = await one(asking, deployment="story", profile="low-vram")
    assert answer.profile == "low-vram"
    assert answer.compatibility.verdict in RUNS
    assert answer.compatibility.plan is not None
    assert answer.compatibility.plan.offload is not OffloadMode.NONE


async def test_a_card_of_the_table_is_empty_and_in_a_host_with_enough(here: Host) -> None:
    asking = asker(here, sample=NO_DRIVER)
    small, large = await asking.answer([Question(model="t2v-A14B", gpu=name) for name in ("rtx 4090", "h200 sxm")])
    assert "4090" in small.where
    assert large.compatibility.verdict is Verdict.FITS
    assert small.time is not None
    assert large.time is not None
    assert large.time.total_seconds.expected < small.time.total_seconds.expected
    assert large.time.basis is Basis.MODELLED
    poor = await one(asking, model="t2v-A14B", gpu="rtx 4090", host_memory_bytes=2 << 30)
    assert poor.compatibility.verdict is Verdict.INCOMPATIBLE
    assert "this host has 2.0 GiB" in poor.compatibility.reason


async def test_a_loaded_deployment_is_judged_under_the_plan_of_its_worker(here: Host) -> None:
    """A longer clip than the plan has room for does not fit, though another plan would make it."""
    story = deployed("story", model="ti2v-5B")
    asking = asker(here, story, sample=hardware(gpu(24)))
    small = await one(asking, deployment="story", width=512, height=512, frames=17)
    assert small.compatibility.plan is not None
    story.plan, story.worker, story.state = small.compatibility.plan, Worker(), LoadState.LOADED
    again, full = await asking.answer(
        [Question(deployment="story", width=512, height=512, frames=17), Question(deployment="story")]
    )
    assert again.as_loaded
    assert again.compatibility.plan == full.compatibility.plan == story.plan
    other = await one(asking, deployment="story", profile="low-vram")
    assert not other.as_loaded


async def test_history_corrects_the_answer_here_and_not_on_an_imagined_card(here: Host) -> None:
    pocket = deployed("pocket", model="t2v-pocket", profile="cpu")
    asking = asker(here, pocket, sample=NO_DRIVER)
    first = await one(asking, deployment="pocket", frames=9)
    for _ in range(4):
        here.run(deployment(), 1.5)
    second = await one(asking, deployment="pocket", frames=9)
    assert first.time is not None
    assert first.time.basis is Basis.MODELLED
    assert second.time is not None
    assert second.time.basis is Basis.CALIBRATED
    elsewhere = await one(asking, model="t2v-pocket", gpu="rtx 4090")
    assert elsewhere.time is not None
    assert elsewhere.time.basis is Basis.MODELLED


async def test_what_a_request_would_be_told_is_told(here: Host) -> None:
    asking = asker(here, deployed("story"), limits=LimitSettings(max_steps=10))
    rounded, refused, limited = await asking.answer(
        [
            Question(deployment="story", frames=80, steps=10),
            Question(deployment="story", frames=801, steps=10),
            Question(deployment="story", steps=11),
        ]
    )
    assert rounded.clip.frames == 81
    assert rounded.refusal is None
    assert "frames 80 rounded to 81" in rounded.notices[0]
    assert "at most" in (refused.refusal or "")
    assert "limits.max_steps" in (limited.refusal or "")


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({}, "name one of them"),
        ({"deployment": "story", "model": "t2v-A14B"}, "name one of them"),
        ({"deployment": "stori"}, "did you mean story?"),
        ({"model": "t2v-A14"}, "did you mean t2v-A14B"),
        ({"deployment": "story", "profile": "fats"}, "did you mean fast"),
        ({"deployment": "story", "gpu": "rtx 9999"}, "unknown GPU"),
        ({"deployment": "story", "device": "gpu:x"}, "auto, cpu or gpu:N"),
        ({"deployment": "story", "frames": 0}, "must be at least 1"),
        ({"deployment": "story", "batch": 0}, "must be at least 1"),
    ],
)
async def test_a_question_that_makes_no_sense_gets_one_clear_line(
    here: Host, question: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says.replace("?", r"\?")):
        await one(asker(here, deployed("story")), **question)


async def test_too_many_questions_are_refused_before_any_is_answered(here: Host) -> None:
    with pytest.raises(UsageError, match="at most"):
        await asker(here).answer([Question(model="t2v-A14B")] * (MAX_QUESTIONS + 1))
