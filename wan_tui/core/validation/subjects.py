"""What is judged by which rules: a model, a deployment."""

import dataclasses
from pathlib import Path

from wan_tui.core.catalog import Model
from wan_tui.core.config.settings import DeploymentSettings, LimitSettings, RequestDefaults
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.plan import Clip, GenerationRequest
from wan_tui.core.validation import checkpoint as checkpoint_folder
from wan_tui.core.validation import hashes, transformer_file
from wan_tui.core.validation.catalogue import catalogue_findings
from wan_tui.core.validation.findings import worst_first
from wan_tui.core.validation.judgement import Judgement, codes_of, judged, not_judged
from wan_tui.core.validation.request import request_findings
from wan_tui.core.validation.rulebook.rules import Group
from wan_tui.core.validation.transformer_file import is_transformer_file

_HASHES = "checksums are compared by wan-tui check --hash"
# What only a real request can tell: its prompt, its seed, its picture.
_OF_A_REQUEST = ("WAN207", "WAN209", "WAN210", "WAN211", "WAN212")


def judge_model(
    model: Model,
    *,
    name: str | None = None,
    defaults: RequestDefaults | None = None,
    limits: LimitSettings | None = None,
) -> Judgement:
    """Catalogue entry of ``model``, and the request that is made of ``defaults``."""
    clip = default_clip(model, defaults)
    return judged(Group.CATALOGUE, catalogue_findings(model)) + _judge_defaults(name or model.id, model, clip, limits)


def judge_checkpoint(model: Model, checkpoint: Path | None, deployment: DeploymentSettings | None = None) -> Judgement:
    """Folder or transformer file ``checkpoint`` of ``model``; reads headers only.

    The single files that ``deployment`` names are judged too, and the transformers that they replace are not.
    """
    files = {role: file for role, file in deployment.files.items() if file is not None} if deployment else {}
    if not files:
        return _judge_checkpoint(model, checkpoint)
    found = _judge_checkpoint(model, checkpoint)
    findings = [finding for finding in found.findings if finding.where.partition("/")[0] not in files]
    codes, skipped = {*found.codes, *transformer_file.CODES}, dict(found.skipped)
    for role, file in files.items():
        # Which expert it is for, the configuration says.
        judged_file = transformer_file.check_transformer_file(file, model)
        findings += [
            dataclasses.replace(one, where=f"{role} {one.where}") for one in judged_file if one.code != "WAN426"
        ]
    for code in transformer_file.CODES:
        skipped.pop(code, None)
    skipped["WAN426"] = "the configuration says which file is which expert's"
    return Judgement(tuple(sorted(codes)), worst_first(findings), skipped)


def _judge_checkpoint(model: Model, checkpoint: Path | None) -> Judgement:
    if checkpoint is None and model.weights == "pocket":
        return not_judged(Group.CHECKPOINT, "built in: there is no checkpoint")
    if checkpoint is None:
        return not_judged(Group.CHECKPOINT, "no checkpoint on this host")
    is_file = is_transformer_file(checkpoint)
    looked_at = transformer_file.CODES if is_file else checkpoint_folder.CODES
    check = transformer_file.check_transformer_file if is_file else checkpoint_folder.check_checkpoint
    other = "only for a folder" if is_file else "only for a transformer file"
    reasons = {code: _HASHES if code in hashes.CODES else other for code in codes_of(Group.CHECKPOINT)}
    skipped = {code: reason for code, reason in reasons.items() if code not in looked_at}
    return judged(Group.CHECKPOINT, check(checkpoint, model), skipped)


def _judge_defaults(name: str, model: Model, clip: Clip, limits: LimitSettings | None) -> Judgement:
    request = GenerationRequest(
        deployment=name,
        prompt="as given",
        width=clip.width,
        height=clip.height,
        frames=clip.frames,
        steps=clip.steps,
        guidance=clip.guidance,
        seed=0,
    )
    findings = [found for found in request_findings(request, model, limits) if found.code not in _OF_A_REQUEST]
    return judged(Group.REQUEST, findings, dict.fromkeys(_OF_A_REQUEST, "told when there is a request"))
