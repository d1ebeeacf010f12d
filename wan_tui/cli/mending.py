"""``--fix``: the safe fixes of a configuration file, with a backup and a diff."""

import sys
from pathlib import Path
from typing import TextIO

from wan_tui.core.config.editing import rewrite, unified
from wan_tui.core.validation.configuration import Diagnosis


def mend(file: Path, diagnosis: Diagnosis, stream: TextIO) -> bool:
    """Write the mended text, keep the original as ``FILE.bak``, print the diff. False when nothing was to mend."""
    if diagnosis.mended is None or diagnosis.text is None:
        return False
    backup = rewrite(file, diagnosis.text, diagnosis.mended)
    diff = unified(diagnosis.text, diagnosis.mended, str(file))
    print(diff.replace(f"--- {file}", f"--- {backup}", 1), file=stream)
    print(f"fixed {file}; the original is {backup}", file=sys.stderr)
    return True
