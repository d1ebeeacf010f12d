"""Is it right: every rule's finding, worst first, with the rule itself; run again, and fix what is safe to fix."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from wan_tui.agent.changes import Change
from wan_tui.core.validation.rulebook.rules import rules
from wan_tui.ui import format_validation
from wan_tui.ui.changing import propose
from wan_tui.ui.screens.base import BaseScreen
from wan_tui.ui.widgets.rows import LiveRows, SelectableRows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from wan_tui.core.snapshot import Snapshot
    from wan_tui.ui.session import Session

WIDE = 120


class ValidationScreen(BaseScreen):
    """Subjects above, findings below; the rule of the selected finding inline, or beside it with room."""

    mode = "validation"
    CSS_PATH = "planning.tcss"
    AUTO_FOCUS = "#findings"
    first_keys = ("validate", "validate_all", "fix", "filter")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "validate", "run one", tooltip="Evaluate the rules of the selected one now", id="validation.one"),
        Binding("V", "validate_all", "run all", tooltip="Evaluate every rule now", id="validation.all"),
        Binding("f", "fix", "safe fixes", tooltip="Show what the safe fixes of the file change", id="validation.fix"),
        Binding("o", "only", "only this", tooltip="Show findings of the selected one alone", id="validation.only"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._subjects = SelectableRows(id="subjects", ascii_only=session.ascii_only, opens=True)
        self._findings = SelectableRows(id="findings", ascii_only=session.ascii_only)
        self._rule = self.rows("rule")
        self._skipped = self.rows("skipped")
        self._only: str | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield self._subjects
        with Horizontal(id="found"):
            yield self._findings
            with Vertical(id="beside"):
                yield self._rule
                yield self._skipped

    def show_snapshot(self, snapshot: Snapshot) -> None:
        wide = self.size.width >= WIDE
        if self._only is not None and self._only not in self._known(snapshot):
            self._only = None
        self._subjects.show(partial(format_validation.subject_list, snapshot))
        self._findings.show(partial(format_validation.finding_list, snapshot, rules(), self._only, explain=not wide))
        found = format_validation.find(self._findings.cursor, snapshot)
        self._rule.show(partial(format_validation.rule_page, found, rules()))
        self._skipped.show(partial(format_validation.skipped_lines, snapshot, self._subject()))

    @staticmethod
    def _known(snapshot: Snapshot) -> set[str]:
        return {format_validation.CONFIGURATION, *(deployment.name for deployment in snapshot.deployments)}

    def on_resize(self) -> None:
        self.redraw()

    def on_selectable_rows_moved(self, message: SelectableRows.Moved) -> None:
        self.redraw()

    def on_selectable_rows_opened(self, message: SelectableRows.Opened) -> None:
        self.action_only()

    def _subject(self) -> str | None:
        """What ``v`` means: the selected subject, or the first that the selected finding is of."""
        if self.focused is self._subjects or self._only is not None:
            return self._subjects.cursor
        found = format_validation.find(self._findings.cursor, self.session.snapshot) if self.session.snapshot else None
        return found.subjects[0] if found is not None else self._subjects.cursor

    def selected_deployment(self) -> str | None:
        subject, snapshot = self._subject(), self.session.snapshot
        return subject if subject and snapshot is not None and snapshot.deployment(subject) is not None else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        snapshot = self.session.snapshot
        if action in ("validate", "validate_all", "only"):
            return snapshot is not None
        if action == "fix":
            return snapshot is not None and snapshot.config.fixable
        return super().check_action(action, parameters)

    def action_validate(self) -> None:
        name = self.selected_deployment()
        if name is None:  # the configuration is checked with everything else
            self.action_validate_all()
        else:
            self.session.perform(f"validate {name}", lambda client: client.validate(name))

    def action_validate_all(self) -> None:
        self.session.perform("validate everything", lambda client: client.validate())

    def action_fix(self) -> None:
        propose(self, "safe fixes", Change(safe_fixes=True), consequence="What has no safe fix stays as it is.")

    def action_only(self) -> None:
        self._only = None if self._only is not None else self._subject()
        if self._only is not None:
            self._subjects.select(self._only)
        self.redraw()

    def home(self) -> LiveRows:
        return self._findings
