"""``wan-tui``: the terminal UI without a command, everything else as commands.

Data goes to stdout, narration to stderr. Exit status: 0 done, 1 a check or an action failed, 2 wrong usage.
"""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit status; every expected error is one line on stderr."""
    from wan_tui.core.errors import WanTuiError

    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if not given:
            # The screens do not wait for the command parser.
            from wan_tui.cli.screens import open_screens

            return open_screens()
        from wan_tui.cli.commands import run

        return run(given)
    except WanTuiError as error:
        sys.stderr.write(f"wan-tui: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away (`wan-tui status | head`): nothing is wrong here.
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
