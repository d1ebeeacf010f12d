"""What the keys on the selected job do, on every screen that has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.core.words import JobState
from wan_tui.ui import job_actions

if TYPE_CHECKING:
    from wan_tui.core.planning.plan import GenerationRequest
    from wan_tui.ui.screens.base import BaseScreen as _Screen
else:
    _Screen = object


class JobKeys(_Screen):
    """For a screen with ``selected_job``: play, copy, move and remove."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        job = self.selected_job()
        match action:
            case "play" | "copy":
                return job is not None and job.output is not None
            case "move":
                return job is not None and job.state is JobState.QUEUED
            case "remove":
                return job is not None and job.state is not JobState.RUNNING
        return super().check_action(action, parameters)

    def action_play(self) -> None:
        if (job := self.selected_job()) is not None:
            job_actions.play(self, job)

    def action_copy(self) -> None:
        if (job := self.selected_job()) is not None and job.output is not None:
            job_actions.copy(self, job.output)

    def action_move(self, by: int) -> None:
        if (job := self.selected_job()) is not None:
            job_actions.move(self, job, by)

    def action_remove(self) -> None:
        if (job := self.selected_job()) is not None:
            job_actions.ask_remove(self, job)


class RequestKeys(_Screen):
    """For a screen that shows a request which can be made again: again and edit."""

    def selected_request(self) -> GenerationRequest | None:
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("again", "edit"):
            return self.selected_request() is not None
        return super().check_action(action, parameters)

    def action_again(self) -> None:
        if (request := self.selected_request()) is not None:
            job_actions.again(self, request)

    async def action_edit(self) -> None:
        if (request := self.selected_request()) is not None:
            await job_actions.edit(self, request)
