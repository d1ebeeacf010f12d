"""Which profile: all there are, each with its verdict for the deployment, asked for as the dialog opens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from wan_tui.core.planning.questions import Question
from wan_tui.ui.format_profiles import profile_list
from wan_tui.ui.glyphs import to_ascii
from wan_tui.ui.widgets.rows import SelectableRows

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wan_tui.core.planning.questions import Assessment
    from wan_tui.core.runtime.state import DeploymentStatus
    from wan_tui.core.snapshot import ProfileSummary
    from wan_tui.ui.session import Session


class ChooseProfile(ModalScreen[str | None]):
    """The name that was chosen, None for none."""

    CSS_PATH = "dialogs.tcss"
    AUTO_FOCUS = "#profiles"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "cancel", "leave", tooltip="Leave the profile as it is", id="profiles.cancel"),
    ]

    def __init__(self, deployment: DeploymentStatus, profiles: tuple[ProfileSummary, ...], session: Session) -> None:
        super().__init__()
        self._deployment = deployment
        self._profiles = profiles
        self._session = session
        self._answers: dict[str, Assessment] = {}
        self._problem: str | None = None
        self._rows = SelectableRows(id="profiles", ascii_only=session.ascii_only, opens=True)

    def compose(self) -> ComposeResult:
        shown = to_ascii if self._session.ascii_only else str
        with Vertical(id="dialog", classes="wide"):
            yield Static(shown(f"Profile of {self._deployment.name}"), id="question", markup=False)
            yield self._rows

    def on_mount(self) -> None:
        self._rows.select(self._deployment.profile)
        name = self._deployment.name
        questions = [Question(deployment=name, profile=one.name, remedies=False) for one in self._profiles]
        self._session.ask(f"profiles of {name}", lambda client: client.assess(questions), self._answered, self._failed)

    def on_resize(self) -> None:
        self._rows.styles.max_height = max(self.size.height - 6, 4)
        self._show()

    def _answered(self, answers: tuple[Assessment, ...]) -> None:
        self._answers = {profile.name: answer for profile, answer in zip(self._profiles, answers, strict=True)}
        self._show()

    def _failed(self, reason: str) -> None:
        self._problem = reason
        self._show()

    def _show(self) -> None:
        current = self._deployment.profile
        self._rows.show(partial(profile_list, self._profiles, current, self._answers, self._problem))

    def on_selectable_rows_opened(self, message: SelectableRows.Opened) -> None:
        self.dismiss(message.key)

    def action_cancel(self) -> None:
        self.dismiss(None)
