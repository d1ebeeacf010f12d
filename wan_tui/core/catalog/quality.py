"""Typed view of ``quality.toml``: what execution options cost in quality, measured on a pocket model."""

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

from wan_tui.core.catalog.profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionQuality:
    """``right_ratio``: share of prompts of which shape, colour, motion and background are all drawn as asked.

    ``psnr_db``: of 8-bit frames against plain fp32 with the same seeds, the median of the prompts; None for equal ones.
    """

    option: str
    value: str
    right_ratio: float
    psnr_db: float | None


@dataclass(frozen=True, slots=True)
class Quality:
    model: str
    prompts: int
    plain_right_ratio: float
    options: tuple[OptionQuality, ...]

    def of(self, option: str, value: str) -> OptionQuality | None:
        return next((row for row in self.options if (row.option, row.value) == (option, value)), None)


@functools.cache
def load_quality() -> Quality:
    data = tomllib.loads(resources.files("wan_tui.core.catalog").joinpath("quality.toml").read_text())
    rows = tuple(
        OptionQuality(
            option=row["option"], value=row["value"], right_ratio=row["right_ratio"], psnr_db=row.get("psnr_db")
        )
        for row in data["options"]
    )
    return Quality(data["model"], data["prompts"], data["plain_right_ratio"], rows)


def costs(profile: Profile, quality: Quality) -> tuple[OptionQuality, ...]:
    """What the plans of ``profile`` may cost beside plain 32-bit weights: of each option the value that costs most.

    An option that is not measured is not told, and a processor takes none of them.
    """
    if profile.cpu_only:
        return ()
    may_have = {
        "quantization": [str(one) for one in profile.quantizations],
        "cache": [str(one) for one in profile.caches],
        "vae_tiling": ["true"] if profile.vae_tiling else [],
    }
    found = []
    for option, values in may_have.items():
        rows = [row for value in values if (row := quality.of(option, value)) and row.psnr_db is not None]
        if rows:
            found.append(min(rows, key=lambda row: (row.psnr_db or 0.0, row.right_ratio)))
    return tuple(found)


def described(profile: Profile) -> str:
    """The description of ``profile`` and what it costs, such as "… (t2v-pocket: int4 32 dB; 92% right, plain 92%)"."""
    quality = load_quality()
    rows = costs(profile, quality)
    if not rows:
        return profile.description
    told = ", ".join(f"{'tiling' if row.option == 'vae_tiling' else row.value} {row.psnr_db:.0f} dB" for row in rows)
    right = min(row.right_ratio for row in rows)
    return f"{profile.description} ({quality.model}: {told}; {right:.0%} right, plain {quality.plain_right_ratio:.0%})"
