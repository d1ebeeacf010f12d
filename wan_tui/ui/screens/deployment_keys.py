"""Keys that change what a deployment is wanted to be; the list of deployments and the page of one share them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from wan_tui.ui.changing import propose_pin, propose_profile
from wan_tui.ui.screens.base import BaseScreen

if TYPE_CHECKING:
    from wan_tui.core.runtime.state import DeploymentStatus


class DeploymentKeys(BaseScreen):
    """``selected_deployment`` says which one is meant."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pin", "pin", tooltip="Keep it loaded for good, or no longer; shows the change", id="plan.pin"),
        Binding("e", "profile", "profile", tooltip="Choose another profile; shows the change", id="plan.profile"),
        Binding("v", "validate", "validate", tooltip="Evaluate every rule for it now", id="plan.validate"),
    ]

    def _selected(self) -> DeploymentStatus | None:
        name, snapshot = self.selected_deployment(), self.session.snapshot
        return snapshot.deployment(name) if snapshot is not None and name is not None else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("pin", "profile", "validate"):
            return self._selected() is not None
        return super().check_action(action, parameters)

    def action_pin(self) -> None:
        if (deployment := self._selected()) is not None:
            propose_pin(self, deployment, pinned=not deployment.pinned)

    def action_profile(self) -> None:
        deployment, snapshot = self._selected(), self.session.snapshot
        if deployment is None or snapshot is None:
            return
        from wan_tui.ui.screens.profiles import ChooseProfile

        def chosen(name: str | None) -> None:
            if name is not None and name != deployment.profile:
                propose_profile(self, deployment, name)

        self.app.push_screen(ChooseProfile(deployment, snapshot.profiles, self.session), chosen)

    def action_validate(self) -> None:
        if (deployment := self._selected()) is not None:
            name = deployment.name
            self.session.perform(f"validate {name}", lambda client: client.validate(name))
