"""Safe edits made to the text of a file: a TOML file keeps its comments and layout, a JSON file its order."""

import json
import re
import tomllib
from collections.abc import Iterable
from typing import Any

from wan_tui.core.config.problems import Edit, Rename, edited


def mend_json(data: dict[str, Any], edits: Iterable[Edit]) -> str:
    for edit in edits:
        data = edited(data, edit)
    return json.dumps(data, indent=2, ensure_ascii=True) + "\n"


def mend_toml(text: str, edits: Iterable[Edit]) -> str:
    """``text`` with those edits that change nothing else; the others are left to the operator."""
    for edit in edits:
        if isinstance(edit, Rename):
            text = _renamed(text, edit)
    return text


def _renamed(text: str, edit: Rename) -> str:
    wanted = edited(tomllib.loads(text), edit)
    old = re.escape(edit.path[-1])
    pattern = re.compile(rf"""(?<![\w"'-])["']?{old}["']?(?=\s*[.=\]])""")
    lines = text.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if pattern.search(line)]
    for chosen in ([number] for number in places), [places]:
        for numbers in chosen:
            candidate = "".join(
                pattern.sub(edit.new, line, count=1) if number in numbers else line for number, line in enumerate(lines)
            )
            try:
                if tomllib.loads(candidate) == wanted:
                    return candidate
            except ValueError:
                continue
    return text
