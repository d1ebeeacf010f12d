"""Changes of the configuration from any screen: shown as a diff first, made when the reader says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.agent.changes import Change, of_deployment
from wan_tui.ui.text import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wan_tui.agent.changes import ChangePreview
    from wan_tui.agent.client import Client
    from wan_tui.core.runtime.state import DeploymentStatus
    from wan_tui.ui.screens.base import BaseScreen

    Doing = Callable[[Client, ChangePreview], Awaitable[str | None]]


def propose(
    screen: BaseScreen,
    what: str,
    change: Change,
    *,
    consequence: str = "",
    doing: Doing | None = None,
) -> None:
    """Ask what ``change`` does to the file, show it, and make it (by ``doing``, if that is more) after a yes.

    ``what`` names the change in the dialog and the status line; ``consequence`` says what comes of it. Where the file
    says so already the dialog is left out: with ``doing`` that is done at once.
    """
    session = screen.session

    def perform(preview: ChangePreview) -> None:
        kept: list[str | None] = []

        async def send(client: Client) -> str | None:
            kept.append(await (doing(client, preview) if doing else client.apply(change, preview.base)))
            return None

        def done(_: str | None) -> None:
            original = f"; the original is {kept[0]}" if kept and kept[0] else ""
            session.say(f"{what}: done{original}", Role.OK)

        session.perform(what, send, done)

    def shown(preview: ChangePreview) -> None:
        if not preview.diff:
            if doing is not None:
                perform(preview)
            else:
                session.say(f"{what}: {preview.file} says so already")
            return
        from wan_tui.ui.screens.change import ChangeDialog

        dialog = ChangeDialog(what, consequence, preview, session)
        screen.app.push_screen(dialog, lambda answer: perform(preview) if answer else None)

    session.say(f"{what}: looking at the file")
    session.ask(what, lambda client: client.preview(change), shown)


def propose_pin(screen: BaseScreen, deployment: DeploymentStatus, *, pinned: bool) -> None:
    """Pin or unpin; the file says from then on whether it is loaded when the engine starts."""
    name = deployment.name

    async def pin(client: Client, _preview: ChangePreview) -> str | None:
        await client.pin(name, pinned=pinned)
        return None

    if pinned:
        consequence = "It is loaded now and whenever the engine starts, and neither idleness nor others end it."
    else:
        consequence = "It stays loaded while it is used; its keep-alive says how long after that."
    what = f"{'pin' if pinned else 'unpin'} {name}"
    propose(screen, what, of_deployment(name, ("wanted_loaded", pinned)), consequence=consequence, doing=pin)


def propose_profile(screen: BaseScreen, deployment: DeploymentStatus, profile: str) -> None:
    """Another profile: a loaded deployment is unloaded and loaded again with it."""
    up = deployment.worker is not None
    consequence = "Its worker ends, jobs that wait are kept, and it is loaded again." if up else ""
    change = of_deployment(deployment.name, ("profile", profile))
    propose(screen, f"profile {profile} for {deployment.name}", change, consequence=consequence)
