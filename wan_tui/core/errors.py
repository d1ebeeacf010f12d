"""The errors that a user sees: one clear line, no traceback."""

import difflib
from collections.abc import Iterable


class WanTuiError(Exception):
    """Something the operator can mend. The message names the thing, its value and the fix.

    ``exit_status`` is 2 for wrong usage (bad input), 1 for something that was tried and failed.
    """

    exit_status = 1


class UsageError(WanTuiError):
    """The request itself is wrong: unknown name, impossible value, unreadable file."""

    exit_status = 2


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not known, with the nearest known ones."""
    names = sorted(known)
    folded = {candidate.casefold(): candidate for candidate in names}
    near = [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return UsageError(f"unknown {kind} {name!r}: {hint}")
