"""A process that has torch imported and forks workers: a second import of 6 s in every test would be most of its time.

Each request is a datagram on the control socket: JSON with the worker's environment, and three descriptors, its socket,
its standard error, and a pipe on which the zygote writes the worker's process id and, at its end, its return code.
"""

import argparse
import ctypes
import json
import os
import select
import signal
import socket
from typing import NoReturn

MAX_REQUEST_BYTES = 1 << 18
PR_SET_PDEATHSIG = 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--cache", required=True)
    given = parser.parse_args()
    control = socket.socket(fileno=given.fd)
    _import(given.cache)
    control.send(b"ready")
    children: dict[int, tuple[int, int]] = {}
    while True:
        ready, _, _ = select.select([control, *children], [], [])
        for source in ready:
            if source is control:
                text, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 3)
                if not text:
                    return
                pid, status = _fork(control, json.loads(text), *descriptors)
                children[os.pidfd_open(pid)] = pid, status
            else:
                pid, status = children.pop(source)
                _, ended = os.waitpid(pid, 0)
                os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
                os.close(status)
                os.close(source)


def _import(cache: str) -> None:
    """Everything that a worker imports, also what it imports only once it loads."""
    import wan_tui.worker.generate
    import wan_tui.worker.measure
    import wan_tui.worker.serve
    from wan_tui.core.catalog import load_catalogue
    from wan_tui.core.planning.compatibility import cpu_plan
    from wan_tui.core.runtime.protocol import Load
    from wan_tui.worker.load import load_pipeline

    for name in ("ti2v-pocket", "t2v-pocket"):
        command = Load(model=name, plan=cpu_plan(), checkpoint=None, cache_directory=cache)
        loaded = load_pipeline(load_catalogue().find(name), command, lambda stage, ratio: None)
    wan_tui.worker.serve.HEARTBEAT_SECONDS = 0.2
    # Measured once for all: in every worker it would take longer than the rest of its load.
    rate = wan_tui.worker.measure.measure_rate(loaded)
    wan_tui.worker.measure.measure_rate = lambda loaded: rate


def _fork(
    control: socket.socket, environment: dict[str, str], worker: int, stderr: int, status: int
) -> tuple[int, int]:
    pid = os.fork()
    if pid == 0:
        control.close()
        os.close(status)
        _serve(environment, worker, stderr)
    os.write(status, f"{pid}\n".encode())
    os.close(worker)
    os.close(stderr)
    return pid, status


def _serve(environment: dict[str, str], worker: int, stderr: int) -> NoReturn:
    """What ``python -m wan_tui.worker`` does, from here on."""
    code = 1
    try:
        os.setsid()
        os.dup2(stderr, 2)
        os.environ.clear()
        os.environ.update(environment)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from wan_tui.worker.serve import serve

        code = serve(socket.socket(fileno=worker))
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
