"""Answers to what-if questions: the planner's, corrected by the history of this host where it applies."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wan_tui.core.catalog import Catalogue
from wan_tui.core.catalog.gpus import search_gpu
from wan_tui.core.catalog.profiles import Profile, TextEncoderPlace, find_profile
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.config.settings import LimitSettings, RequestDefaults
from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.core.hardware.samples import HardwareSample, HostSample
from wan_tui.core.planning.compatibility import judge, judge_cpu
from wan_tui.core.planning.plan import Bounds, Clip, Compatibility, ExecutionPlan, GenerationRequest, TimeEstimate
from wan_tui.core.planning.planner import HostRoom, Room, Task, time_of
from wan_tui.core.planning.questions import MAX_QUESTIONS, Assessment, Question
from wan_tui.core.planning.remedies import RUNS, find_remedies
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.judging import Judge
from wan_tui.core.validation.request import request_findings
from wan_tui.core.words import Basis, LoadState, Quantization, Severity, Verdict

_AMPLE = HostRoom(1 << 50, 1 << 50)
# Findings about the prompt and the picture are no matter of fitting.
_ABOUT_SHAPE = frozenset({"WAN201", "WAN202", "WAN203", "WAN204", "WAN205", "WAN206", "WAN208", "WAN213"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Answers from what a manager knows; changes nothing of it."""

    catalogue: Catalogue
    deployments: Mapping[str, Deployment]
    judge: Judge
    estimator: Estimator
    limits: LimitSettings
    hardware: HardwareSample
    host: HostSample

    async def answer(self, questions: Sequence[Question]) -> tuple[Assessment, ...]:
        """One answer for each. Planning is done in a thread. Raises UsageError for a name that is unknown."""
        if len(questions) > MAX_QUESTIONS:
            raise UsageError(f"{len(questions)} questions at once: at most {MAX_QUESTIONS}")
        asked = [self._subject(question) for question in questions]
        found = await asyncio.to_thread(lambda: [self._judged(*one) for one in zip(questions, asked, strict=True)])
        return tuple(
            self._with_history(question, subject, answer)
            for question, subject, answer in zip(questions, asked, found, strict=True)
        )

    def _subject(self, question: Question) -> Deployment:
        """A deployment as the question describes it, which nobody runs."""
        if (question.deployment is None) == (question.model is None):
            raise UsageError("a question is about a deployment or about a model: name one of them")
        if question.batch < 1:
            raise UsageError(f"batch {question.batch}: must be at least 1")
        for name in ("width", "height", "frames", "steps"):
            if (value := getattr(question, name)) is not None and value < 1:
                raise UsageError(f"{name} {value}: must be at least 1")
        if question.gpu is not None:
            search_gpu(question.gpu)
        if question.deployment is not None:
            if question.deployment not in self.deployments:
                raise unknown_name("deployment", question.deployment, self.deployments)
            real = self.deployments[question.deployment]
        else:
            assert question.model is not None
            model = self.catalogue.find(question.model)
            unknown = Compatibility(verdict=Verdict.UNKNOWN, reason="not planned yet")
            real = Deployment(
                name=model.id,
                settings=DeploymentSettings(model=model.id, device="auto"),
                model=model,
                compatibility=unknown,
                wanted_loaded=False,
            )
        find_profile(question.profile or real.settings.profile, self.judge.profiles)
        changes = {
            "profile": question.profile or real.settings.profile,
            "device": _device(question.device) or real.settings.device,
            "defaults": _defaults(question, real.settings.defaults),
        }
        subject = dataclasses.replace(real, settings=real.settings.model_copy(update=changes))
        if not _held(question, real):
            subject.plan = subject.rate = None
        return subject

    def _judged(self, question: Question, subject: Deployment) -> Compatibility:
        if question.gpu is not None:
            return self._on_empty_card(question, subject)
        profiles = dict(self.judge.profiles)
        if _held(question, subject) and subject.plan is not None:
            name = subject.settings.profile
            profiles[name] = held_profile(profiles[name], subject.plan)
        others = [one for one in self.deployments.values() if one.name != question.deployment]
        return self.judge.compatibility(
            subject,
            self.hardware,
            self.host,
            [subject, *others],
            profiles=profiles,
            with_image=question.image or None,
            batch=question.batch,
            remedies=question.remedies,
        )

    def _on_empty_card(self, question: Question, subject: Deployment) -> Compatibility:
        task, room, host = self._what_if(question, subject)
        if task.profile.cpu_only:
            return judge_cpu(task.model, task.clip, host)
        answer = judge(task, (room,), host)
        if answer.verdict in RUNS or not question.remedies:
            return answer
        return dataclasses.replace(answer, remedies=find_remedies(task, (room,), host, profiles=self.judge.profiles))

    def _what_if(self, question: Question, subject: Deployment) -> tuple[Task, Room, HostRoom]:
        assert question.gpu is not None
        gpu, size = search_gpu(question.gpu), question.host_memory_bytes
        room = Room(device="gpu:0", uuid=None, total_bytes=gpu.memory_bytes, free_bytes=gpu.memory_bytes, gpu=gpu)
        task = Task(
            model=subject.model,
            clip=self.judge.clip(subject),
            profile=self.judge.profiles[subject.settings.profile],
            with_image=question.image or None,
            batch=question.batch,
        )
        return task, room, _AMPLE if size is None else HostRoom(size, size)

    def _with_history(self, question: Question, subject: Deployment, answer: Compatibility) -> Assessment:
        clip = self.judge.clip(subject)
        notices, refusal = self._about_shape(question, subject)
        time = load = None
        where = self.host.hostname
        if question.gpu is not None:
            task, room, host = self._what_if(question, subject)
            where = room.gpu.label
            if answer.plan is not None and answer.plan.device != "cpu":
                modelled = time_of(task, room, answer.plan, host.cpu)
                time, load = modelled.time, _modelled(modelled.load)
        elif answer.plan is not None:
            where = self._place(answer.plan)
            subject.compatibility = answer
            if question.batch == 1:
                answer = self.judge.as_observed(subject, answer)
                time = self.estimator.estimate(subject, _request(subject, clip, image=question.image))
            load = self.estimator.load_seconds(subject)
        if time is None and answer.seconds is not None:
            time = _modelled(answer.seconds)
        return Assessment(
            compatibility=answer,
            model=subject.model.id,
            profile=subject.settings.profile,
            where=where,
            clip=clip,
            batch=question.batch,
            time=time,
            load=load,
            notices=notices,
            refusal=refusal,
            as_loaded=_held(question, subject) and subject.plan is not None,
        )

    def _place(self, plan: ExecutionPlan) -> str:
        gpu = next((gpu for gpu in self.hardware.gpus if f"gpu:{gpu.index}" == plan.device), None)
        return f"{plan.device} {gpu.name}" if gpu is not None else f"cpu {self.host.cpu_name}"

    def _about_shape(self, question: Question, subject: Deployment) -> tuple[tuple[str, ...], str | None]:
        """What a request of exactly the asked shape would be told."""
        clip, given = self.judge.clip(subject), subject.settings.defaults
        request = _request(subject, clip, image=question.image)
        raw = {name: value for name in ("width", "height", "frames") if (value := getattr(given, name)) is not None}
        limits = self.limits if question.gpu is None else LimitSettings()
        found = [
            one
            for one in request_findings(dataclasses.replace(request, **raw), subject.model, limits)
            if one.code in _ABOUT_SHAPE
        ]
        refusal = next((one.message for one in found if one.severity is Severity.ERROR), None)
        return tuple(one.message for one in found if one.severity is not Severity.ERROR), refusal


def held_profile(profile: Profile, plan: ExecutionPlan) -> Profile:
    """``profile`` narrowed to what ``plan`` does: what a worker that is loaded under it can do, and nothing else."""
    if plan.text_encoder_on_cpu:
        place = TextEncoderPlace.HOST
    elif plan.text_encoder_quantization is Quantization.NF4:
        place = TextEncoderPlace.NF4
    else:
        place = TextEncoderPlace.DEVICE
    return dataclasses.replace(
        profile,
        precisions=(plan.precision,),
        quantizations=(plan.quantization,),
        text_encoders=(place,),
        offloads=(plan.offload,),
        vae_tiling=plan.vae_tiling,
        vae_precision=plan.vae_precision,
        caches=(plan.cache,),
        attentions=(plan.attention,),
        compile=plan.compile,
    )


def _held(question: Question, deployment: Deployment) -> bool:
    """Whether the question is about the worker that is there: as configured, on its device."""
    return (
        question.deployment is not None
        and question.profile in (None, deployment.settings.profile)
        and question.device is None
        and question.gpu is None
        and deployment.state is LoadState.LOADED
        and deployment.worker is not None
    )


def _device(text: str | None) -> str | None:
    if text is None or text in ("auto", "cpu") or (text.startswith("gpu:") and text[4:].isdecimal()):
        return text
    raise UsageError(f"device {text!r}: auto, cpu or gpu:N")


def _defaults(question: Question, configured: RequestDefaults) -> RequestDefaults:
    names = ("width", "height", "frames", "steps", "guidance")
    given = {name: value for name in names if (value := getattr(question, name)) is not None}
    return configured.model_copy(update=given)


def _request(subject: Deployment, clip: Clip, *, image: bool) -> GenerationRequest:
    shape = {field.name: getattr(clip, field.name) for field in dataclasses.fields(clip)}
    picture = "picture" if image else None
    return GenerationRequest(deployment=subject.name, prompt="what if", seed=0, image=picture, **shape)


def _modelled(seconds: Bounds) -> TimeEstimate:
    return TimeEstimate(basis=Basis.MODELLED, total_seconds=seconds, stages=())
