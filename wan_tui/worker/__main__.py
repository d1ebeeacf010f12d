"""``python -m wan_tui.worker --fd N``: one loaded deployment, told what to do over an inherited socket."""

import argparse
import ctypes
import os
import signal
import socket
import sys

PR_SET_PDEATHSIG = 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m wan_tui.worker", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="inherited socket to the engine")
    parser.add_argument("--parent", type=int, required=True, help="process id of the engine")
    arguments = parser.parse_args()
    _die_with(arguments.parent)
    # The terminal's Ctrl-C is for the face in front of it; a worker ends when its engine says so or is gone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from wan_tui.worker.serve import serve

    return serve(socket.socket(fileno=arguments.fd))


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the engine dies, and notice if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
