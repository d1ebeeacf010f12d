"""Commands about what is wanted and whether it is right: pin, profile, set, validate, rule, fix, reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.agent.changes import Change, setting_of
from wan_tui.core.errors import unknown_name
from wan_tui.ui.changing import propose, propose_pin, propose_profile
from wan_tui.ui.verb import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wan_tui.core.runtime.state import DeploymentStatus
    from wan_tui.ui.app import WanTuiApp


def _deployment(app: WanTuiApp, name: str) -> DeploymentStatus:
    snapshot = app.session.snapshot
    found = snapshot.deployment(name) if snapshot is not None else None
    if found is None:
        raise unknown_name("deployment", name, [one.name for one in snapshot.deployments] if snapshot else [])
    return found


def _names(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    snapshot = app.session.snapshot
    return () if given or snapshot is None else [deployment.name for deployment in snapshot.deployments]


def _names_then_profiles(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    snapshot = app.session.snapshot
    if len(given) == 1 and snapshot is not None:
        return [profile.name for profile in snapshot.profiles]
    return _names(app, given)


def _pin(app: WanTuiApp, given: list[str]) -> None:
    propose_pin(app.base_screen, _deployment(app, given[0]), pinned=True)


def _unpin(app: WanTuiApp, given: list[str]) -> None:
    propose_pin(app.base_screen, _deployment(app, given[0]), pinned=False)


def _profile(app: WanTuiApp, given: list[str]) -> None:
    snapshot, deployment = app.session.snapshot, _deployment(app, given[0])
    known = [profile.name for profile in snapshot.profiles] if snapshot is not None else []
    if known and given[1] not in known:
        raise unknown_name("profile", given[1], known)
    propose_profile(app.base_screen, deployment, given[1])


def _set(app: WanTuiApp, given: list[str]) -> None:
    propose(app.base_screen, f"set {given[0]}", setting_of(given[0], given[1] if len(given) > 1 else None))


def _validate(app: WanTuiApp, given: list[str]) -> None:
    name = _deployment(app, given[0]).name if given else None
    app.session.perform(f"validate {name or 'everything'}", lambda client: client.validate(name))


def _fix(app: WanTuiApp, given: list[str]) -> None:
    propose(app.base_screen, "safe fixes", Change(safe_fixes=True), consequence="What has no safe fix stays as it is.")


def _reload(app: WanTuiApp, given: list[str]) -> None:
    app.session.perform("reload the configuration", lambda client: client.reload())


def _rule(app: WanTuiApp, given: list[str]) -> object:
    from wan_tui.core.validation.rulebook.rules import rule
    from wan_tui.ui.screens.rule import RulePage

    return app.push_screen(RulePage(app.session, app.base_screen.mode, rule(given[0])))


def _codes(app: WanTuiApp, given: list[str]) -> Iterable[str]:
    from wan_tui.core.validation.rulebook.rules import rules

    return () if given else rules()


PLANNING: tuple[Verb, ...] = (
    Verb("pin", "DEPLOYMENT", "Keep a deployment loaded for good; shows the change first", _pin, _names),
    Verb("unpin", "DEPLOYMENT", "Leave a deployment to its keep-alive; shows the change first", _unpin, _names),
    Verb("profile", "DEPLOYMENT PROFILE", "Another profile; shows the change first", _profile, _names_then_profiles),
    Verb("set", "KEY [VALUE]", "Change the configuration; without a value the default applies", _set),
    Verb("validate", "[DEPLOYMENT]", "Evaluate every rule now, of one or of all", _validate, _names),
    Verb("rule", "CODE", "What a rule looks at, why, and what to do", _rule, _codes),
    Verb("fix", "", "Show what the safe fixes of the configuration change", _fix),
    Verb("reload", "", "Read the configuration file again", _reload),
)
