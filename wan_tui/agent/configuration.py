"""The configuration file of a running engine: read again, previewed, changed, and what is wrong with it."""

from __future__ import annotations

import asyncio
import hashlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from wan_tui.agent.changes import Change, ChangePreview, of_deployment
from wan_tui.core import atomic
from wan_tui.core.config.editing import rewrite, unified, with_settings
from wan_tui.core.config.emitter import DEFAULT_FILE
from wan_tui.core.config.settings import default_settings, load_settings, validated
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.paths import config_file, default_paths
from wan_tui.core.validation.configuration import diagnose, is_legacy, judge_configuration

if TYPE_CHECKING:
    from wan_tui.core.config import Settings
    from wan_tui.core.engine import Engine
    from wan_tui.core.validation.findings import Finding

CREATES = "new"


class Configuration:
    """``named`` is the file that was asked for; without one it is that of the usual place, once there is one.

    ``settings`` are those that apply. Whatever is done shows in the engine's snapshots.
    """

    def __init__(self, engine: Engine, settings: Settings, named: Path | None) -> None:
        self._engine = engine
        self._named = named
        self._one_at_a_time = asyncio.Lock()
        self.settings = settings

    @property
    def file(self) -> Path:
        """The file that applies, or would if it were there."""
        return self._named or config_file() or default_paths().config / "wan-tui.toml"

    async def reload(self) -> bool:
        """Take up what the file says now; False when it cannot be used, which the snapshot then tells."""
        async with self._one_at_a_time:
            return await self._reload()

    async def check(self) -> None:
        """Evaluate the configuration rules; findings come up in the snapshot."""
        file = self.file
        findings, fixable, exists = await asyncio.to_thread(_checked, file)
        self._engine.configuration_checked(str(file), findings, fixable, exists=exists)

    async def init(self) -> str:
        """Write the commented default file, and take it up; its name. Raises WanTuiError when there is one."""
        async with self._one_at_a_time:
            file = self.file
            await asyncio.to_thread(_create, file)
            await self._reload()
        return str(file)

    async def preview(self, change: Change) -> ChangePreview:
        """What ``change`` would do. Raises UsageError for one that makes no sense, or a file of the older form."""
        before, after = await asyncio.to_thread(self._changed, change)
        file = self.file
        diff = "" if (before or "") == after else unified(before, after, str(file))
        return ChangePreview(file=str(file), diff=diff, base=_base(before), creates=before is None)

    async def apply(self, change: Change, base: str | None = None) -> str | None:
        """Make ``change``, keep the original beside the file, and reload. Returns the backup's name, if there is one.

        With ``base`` (of a preview) the file must still be as it was then. Raises WanTuiError, and then nothing
        was written; what the engine makes of the new file is told by the snapshot.
        """
        async with self._one_at_a_time:
            before, after = await asyncio.to_thread(self._changed, change)
            if base is not None and base != _base(before):
                raise WanTuiError(f"{self.file} changed after it was shown: look at the change again")
            if (before or "") == after:
                raise UsageError(f"{self.file} says so already: there is nothing to change")
            backup = await asyncio.to_thread(rewrite, self.file, before, after)
            await self._reload()
        return None if backup is None else str(backup)

    async def pin(self, deployment: str, *, pinned: bool) -> None:
        """Keep a deployment loaded, now and after every start (``wanted_loaded``), or no longer.

        Raises UsageError for an unknown name, WanTuiError for one that cannot run or a file that cannot be written.
        """
        wanted = self.settings.deployment(deployment).wanted_loaded
        await self._engine.pin(deployment, pinned=pinned)
        if wanted is pinned:
            return
        try:
            await self.apply(of_deployment(deployment, ("wanted_loaded", pinned)))
        except WanTuiError as error:
            how = "pinned" if pinned else "unpinned"
            raise WanTuiError(f"{deployment} is {how} until the agent ends, and not for longer: {error}") from None

    async def _reload(self) -> bool:
        try:
            settings = await asyncio.to_thread(load_settings, self._named)
        except WanTuiError as error:
            self._engine.reload_failed(str(error))
            return False
        await self._engine.reload(settings)
        self.settings = settings
        await self.check()
        return True

    def _changed(self, change: Change) -> tuple[str | None, str]:
        """The text of the file before (None: there is none) and after; the same where it means the same."""
        file = self.file
        if bool(change.settings) == change.safe_fixes:
            raise UsageError("a change has new values of settings, or is the safe fixes: one of the two")
        if change.safe_fixes:
            if not file.exists():
                raise UsageError(f"{file} does not exist: there is nothing to fix")
            found = diagnose(file)
            if found.text is None or found.mended is None:
                raise UsageError(f"{file}: no finding has a safe fix; the others are mended by hand")
            return found.text, found.mended
        if is_legacy(file):
            raise UsageError(f"{file} is of the older form: write the new one with `wan-tui config migrate` first")
        before = _read(file)
        after = with_settings(before, {setting.path: setting.value for setting in change.settings})
        meant = validated(tomllib.loads(after), file)
        if _means(before, file) == meant:
            return before, before or ""
        return before, after


def _create(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.create(file, DEFAULT_FILE.encode())
    except FileExistsError:
        raise WanTuiError(f"{file} exists and is never overwritten") from None
    except OSError as error:
        raise WanTuiError(f"cannot write {file}: {error.strerror}") from None


def _checked(file: Path) -> tuple[tuple[Finding, ...], bool, bool]:
    exists = file.exists()
    findings = judge_configuration(file if exists else None).findings
    return findings, exists and diagnose(file).mended is not None, exists


def _means(text: str | None, file: Path) -> Settings | None:
    """The settings of a text (None: of no file), None for one that cannot be used."""
    defaults = default_settings()
    if text is None:
        return defaults
    try:
        data = tomllib.loads(text)
        data.setdefault("deployments", defaults.model_dump(exclude_none=True)["deployments"])
        return validated(data, file)
    except (ValueError, UsageError):
        return None


def _read(file: Path) -> str | None:
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise WanTuiError(f"cannot read {file}: {error.strerror}") from None


def _base(text: str | None) -> str:
    return CREATES if text is None else hashlib.sha256(text.encode()).hexdigest()
