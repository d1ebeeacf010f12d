"""Changes of the configuration over the control socket, parsed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from wan_tui.agent.changes import Change, ChangePreview, Setting
from wan_tui.core.errors import WanTuiError


class SettingBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    path: list[str] = Field(min_length=1, max_length=8)
    value: str | bool | int | float | None


class ChangeBody(BaseModel):
    """A change; ``base`` is that of the preview that it was shown in."""

    model_config = ConfigDict(extra="forbid", strict=True)

    settings: list[SettingBody] = Field(default_factory=list, max_length=64)
    safe_fixes: bool = False
    base: str | None = None

    @property
    def change(self) -> Change:
        settings = tuple(Setting(tuple(one.path), one.value) for one in self.settings)
        return Change(settings=settings, safe_fixes=self.safe_fixes)


class PinBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    pinned: bool


_PREVIEW = TypeAdapter(ChangePreview)


def preview_from(body: bytes) -> ChangePreview:
    """Raises WanTuiError for what is none."""
    try:
        return _PREVIEW.validate_json(body)
    except ValidationError:
        raise WanTuiError("the agent answered with something that this wan-tui cannot read: restart it") from None
