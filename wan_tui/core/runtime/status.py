"""From the mutable record of a deployment to the frozen one that everyone sees."""

from collections.abc import Sequence

from wan_tui.core.planning.clip import default_clip
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.state import DeploymentStatus, Job, PlanChange, SkippedRule, ValidationStatus
from wan_tui.core.runtime.supervision import idle_unload_at
from wan_tui.core.words import Outcome, Phase


def deployment_status(deployment: Deployment, queued: Sequence[Job], running: Job | None) -> DeploymentStatus:
    """Status of ``deployment`` with its waiting jobs and the job that runs on it."""
    return DeploymentStatus(
        name=deployment.name,
        model=deployment.model.id,
        profile=deployment.settings.profile,
        wanted_loaded=deployment.wanted_loaded,
        state=deployment.state,
        state_changed_at=deployment.state_changed_at,
        compatibility=deployment.compatibility,
        totals=deployment.tallies.frozen(),
        defaults=default_clip(deployment.model, deployment.settings.defaults),
        findings=deployment.judgement.findings,
        validation=validation_status(deployment),
        failure=deployment.failure,
        load_stage=deployment.load_stage,
        load_progress_ratio=deployment.load_progress_ratio,
        worker=deployment.worker_status,
        phase=running.phase if running else Phase.IDLE,
        running_job=deployment.running_job,
        queued_jobs=len(queued),
        oldest_queued_at=min((job.submitted_at for job in queued), default=None),
        pinned=deployment.pinned,
        idle_unload_at=idle_unload_at(deployment, deployment.vitals, waiting=bool(queued)),
        unreleased_bytes=deployment.unreleased_bytes,
        last_load_seconds=deployment.last_load_seconds,
        last_generation_seconds=deployment.last_generation_seconds,
        last_estimated_seconds=deployment.last_estimated_seconds,
        plan=deployment.plan if deployment.is_placed else None,
        next_plan=_next_plan(deployment),
        replanned_at=deployment.replanned_at,
        replica_of=deployment.queue if deployment.settings.replicas > 1 else None,
    )


def _next_plan(deployment: Deployment) -> PlanChange | None:
    wish = deployment.replanning.wish
    return PlanChange(wish.plan, wish.reason, wish.text, deployment.replanning.due) if wish else None


def validation_status(deployment: Deployment) -> ValidationStatus:
    """How each rule came out, of the last validation and of the last poll together."""
    outcomes, validation = deployment.judgement.outcomes, deployment.validation
    return ValidationStatus(
        passed=tuple(rule.code for rule in outcomes if rule.outcome is Outcome.PASSED),
        failed=tuple(rule.code for rule in outcomes if rule.outcome is Outcome.FAILED),
        skipped=tuple(SkippedRule(rule.code, rule.reason) for rule in outcomes if rule.outcome is Outcome.SKIPPED),
        runs=validation.runs,
        failed_runs=validation.failed_runs,
        last_run_at=validation.last_run_at,
        last_duration_seconds=validation.last_duration_seconds,
    )
