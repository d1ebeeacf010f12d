"""``--fix``: the safe fixes of a configuration file, with a backup and a diff."""

import difflib
import sys
from pathlib import Path
from typing import TextIO

from wan_tui.core import atomic
from wan_tui.core.errors import WanTuiError
from wan_tui.core.validation.configuration import Diagnosis


def mend(file: Path, diagnosis: Diagnosis, stream: TextIO) -> bool:
    """Write the mended text, keep the original as ``FILE.bak``, print the diff. False when nothing was to mend."""
    if diagnosis.mended is None or diagnosis.text is None:
        return False
    try:
        backup = atomic.back_up(file)
        if backup.read_bytes() != diagnosis.text.encode():
            raise WanTuiError(f"{file} changed while it was checked: run this again (a copy is {backup})")
        atomic.replace(file, diagnosis.mended.encode())
    except OSError as error:
        raise WanTuiError(f"cannot fix {file}: {error.strerror}; it is as it was") from None
    before, after = diagnosis.text.splitlines(), diagnosis.mended.splitlines()
    for line in difflib.unified_diff(before, after, str(backup), str(file), lineterm=""):
        print(line, file=stream)
    print(f"fixed {file}; the original is {backup}", file=sys.stderr)
    return True
