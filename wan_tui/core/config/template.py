"""Names of videos by template: ``{date}-{deployment}-{seed}``."""

import string
from collections.abc import Mapping
from pathlib import PurePosixPath

DEFAULT_TEMPLATE = "{date}-{time}-{deployment}-{job}"
# Placeholders, each with something that it could stand for.
EXAMPLES: Mapping[str, str | int] = {
    "job": 12,
    "deployment": "story",
    "model": "t2v-A14B",
    "seed": 42,
    "date": "20260131",
    "time": "142700",
    "width": 832,
    "height": 480,
    "frames": 81,
    "index": 1,
}
LONGEST = 200


def check_template(template: str) -> str:
    """``template`` itself. Raises ValueError saying what is wrong with it."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise ValueError(f"{error}; write {{{{ and }}}} for braces") from None
    for field in fields:
        if field not in EXAMPLES:
            raise ValueError(f"unknown placeholder {{{field}}}: known are {', '.join(EXAMPLES)}")
    try:
        name = template.format_map(EXAMPLES)
    except ValueError as error:
        raise ValueError(str(error)) from None
    if not name.strip() or name.endswith("/"):
        raise ValueError("names no file")
    if not name.isprintable() or "\\" in name:
        raise ValueError("has characters that do not belong into file names")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.parts[0].startswith("~"):
        raise ValueError("leads out of the output directory")
    if max(len(part.encode()) for part in path.parts) > LONGEST:
        raise ValueError(f"makes names of more than {LONGEST} bytes")
    return template


def names_index(template: str) -> bool:
    """Whether the videos of one request get different names by ``template`` itself."""
    return any(field == "index" for _, field, _, _ in string.Formatter().parse(template))


def render(template: str, values: Mapping[str, str | int]) -> str:
    """The relative path of an MP4 file. A value never opens a folder of its own."""
    safe = {key: value.replace("/", "-") if isinstance(value, str) else value for key, value in values.items()}
    name = template.format_map(safe)
    return name if name.casefold().endswith(".mp4") else f"{name}.mp4"
