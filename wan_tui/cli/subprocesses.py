"""Work that needs the libraries of the inference extra, in a process of its own: JSON goes in, JSON lines come out."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from wan_tui.core.errors import WanTuiError


def run_worker(module: str, job: Mapping[str, Any], tell: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Run ``module`` on ``job``: its last line; those with a stage go to ``tell``. Raises WanTuiError.

    It ends with this process: what it has finished stays.
    """
    last: dict[str, Any] = {}
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", module]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(job).encode() + b"\n")
                process.stdin.close()
                for text in process.stdout:
                    last = json.loads(text)
                    if "stage" in last:
                        tell(last)
            except BaseException:
                process.terminate()
                raise
        if "stage" not in last and last:
            return last
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    reason = lines[-1].strip() if lines else f"it ended with status {process.returncode}"
    raise WanTuiError(f"{module.rpartition('.')[2]} stopped: {reason}")
