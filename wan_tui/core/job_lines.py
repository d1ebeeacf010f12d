"""Files with a job a line (JSON Lines), as the command line and the screens take them."""

from pathlib import Path

from wan_tui.core.errors import UsageError


def read_lines(file: Path) -> dict[int, str]:
    """Lines by number, empty ones left out. Raises UsageError for a file that is no batch."""
    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"batch file {file}: {error.strerror}") from None
    lines = {number: line for number, line in enumerate(text.split("\n"), 1) if line.strip()}
    if not lines:
        raise UsageError(f"{file}: no jobs in it; write one JSON object a line")
    return lines
