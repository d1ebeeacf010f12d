"""curl as a client that is not ours."""

import asyncio
import shutil
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Answer:
    """``status`` 0 and ``error`` say that there was no HTTP answer at all."""

    status: int
    body: str
    error: str


async def curl(url: str, *options: str) -> Answer:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed (Debian: apt-get install curl), so this was NOT checked")
    process = await asyncio.create_subprocess_exec(
        *(program, "-sS", "--max-time", "20", "-w", "\n%{http_code}", *options, url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    body, _, status = out.decode().rpartition("\n")
    return Answer(int(status), body, error.decode())
