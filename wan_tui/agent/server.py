"""The engine behind a Unix socket: HTTP and JSON, for this user alone.

``GET /v1/version``, ``/v1/snapshot``, ``/v1/snapshots?after=N&instance=ID`` (newline-delimited, the newest wins);
everything else is in ``routes``. Errors are ``{"error": text, "exit_status": n}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from wan_tui.agent.messages import API, AgentInfo, error_body
from wan_tui.agent.places import answers, make_private
from wan_tui.agent.routes import all_routes
from wan_tui.agent.routes.answers import JSON_TYPE, answer
from wan_tui.core.errors import UsageError, WanTuiError

if TYPE_CHECKING:
    from types import TracebackType

    from wan_tui.agent.configuration import Configuration
    from wan_tui.core.engine import Engine
    from wan_tui.core.snapshot import Snapshot

# A client is sent at most ten snapshots a second, and what it has not read by then is skipped.
STREAM_INTERVAL_SECONDS = 0.1
WATCH_SECONDS = 1.0
BACKLOG = 512
STREAM_TYPE = "application/x-ndjson"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The handlers around one engine; ``configuration`` is what it can be changed by.

    ``uid`` is the only user that they answer.
    """

    def __init__(
        self, engine: Engine, info: AgentInfo, configuration: Configuration | None = None, *, uid: int | None = None
    ) -> None:
        self._engine = engine
        self._configuration = configuration
        self._uid = os.getuid() if uid is None else uid
        self._line: tuple[Snapshot, bytes] | None = None
        self._last_request = time.monotonic()
        self.info = info
        self.clients = 0

    @property
    def quiet_seconds(self) -> float:
        """How long nobody has asked or watched."""
        return 0.0 if self.clients else time.monotonic() - self._last_request

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/v1/version", self._version)
        app.router.add_get("/v1/snapshot", self._snapshot)
        app.router.add_get("/v1/snapshots", self._snapshots)
        app.router.add_routes(all_routes(self._engine, self._configuration))
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Only this user; every error as one line of JSON."""
        try:
            if peer_uid(request) != self._uid:
                return answer(error_body(WanTuiError("this socket answers its owner alone")), 403)
            self._last_request = time.monotonic()
            return await handler(request)
        except UsageError as error:
            return answer(error_body(error), 400)
        except WanTuiError as error:
            return answer(error_body(error), 409)
        except web.HTTPException as error:
            what = f"{request.method} {request.path}: {error.reason}; this is {API} of wan-tui {self.info.version}"
            return answer(error_body(UsageError(what)), error.status)

    async def _version(self, _request: web.Request) -> web.Response:
        return answer(dataclasses.asdict(dataclasses.replace(self.info, clients=self.clients)))

    async def _snapshot(self, _request: web.Request) -> web.Response:
        async for snapshot in self._engine.snapshots():
            return web.Response(body=self._as_line(snapshot), content_type=JSON_TYPE)
        raise WanTuiError("the engine is stopping")

    async def _snapshots(self, request: web.Request) -> web.StreamResponse:
        after = self._resume_after(request)
        response = web.StreamResponse(headers={"Content-Type": STREAM_TYPE, "Cache-Control": "no-store"})
        await response.prepare(request)
        self.clients += 1
        try:
            async for snapshot in self._engine.snapshots():
                if snapshot.number <= after:
                    continue
                # Waits while the client does not read, and meanwhile holds this one line for it, no backlog.
                await response.write(self._as_line(snapshot))
                await asyncio.sleep(STREAM_INTERVAL_SECONDS)
        except ConnectionError:
            pass  # the client went away
        finally:
            self.clients -= 1
            self._last_request = time.monotonic()
        return response

    def _resume_after(self, request: web.Request) -> int:
        """Numbers begin anew with every agent: those of another one, or from the future, resume nothing."""
        text = request.query.get("after", "0")
        if not text.isascii() or not text.isdigit():
            raise UsageError(f"after {text!r}: must be the number of a snapshot")
        newest = self._engine.latest
        same = request.query.get("instance", self.info.instance) == self.info.instance
        number = int(text[:18])
        return number if same and newest is not None and number <= newest.number else 0

    def _as_line(self, snapshot: Snapshot) -> bytes:
        """Made once for all clients."""
        if self._line is None or self._line[0] is not snapshot:
            self._line = snapshot, snapshot.to_json().encode() + b"\n"
        return self._line[1]


class ControlSocket:
    """``async with ControlSocket(api, path)``: the API at ``path``, 0600; made again when someone removes it.

    The caller holds the lock of the place, so a socket that is there and does not answer is a stale one.
    """

    def __init__(self, api: Api, path: Path, log: Callable[[str, str, str], None]) -> None:
        self._path = path
        self._log = log
        self._runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=1.0)
        self._inode: tuple[int, int] | None = None

    async def __aenter__(self) -> ControlSocket:
        await self._runner.setup()
        try:
            make_private(self._path.parent)
            await self._listen()
        except WanTuiError:
            await self._runner.cleanup()
            raise
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        if self._present():
            self._path.unlink(missing_ok=True)
        await self._runner.cleanup()

    async def _listen(self) -> None:
        if await asyncio.to_thread(answers, self._path):
            raise WanTuiError(f"another process already serves {self._path}; choose another place with --socket")
        server = socket.socket(socket.AF_UNIX)
        try:
            if self._path.is_socket():
                self._path.unlink()
            before = os.umask(0o177)
            try:
                server.bind(str(self._path))
            finally:
                os.umask(before)
        except OSError as error:
            server.close()
            raise WanTuiError(f"cannot make the control socket {self._path}: {error.strerror or error}") from None
        await web.SockSite(self._runner, server, backlog=BACKLOG).start()
        found = self._path.stat()
        self._inode = found.st_dev, found.st_ino

    def _present(self) -> bool:
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._inode

    async def _watch(self) -> None:
        """A runtime directory goes with the last login and comes back, empty, with the next one."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._path.exists() or not self._path.parent.parent.is_dir():
                continue
            with contextlib.suppress(WanTuiError):  # the folder may not be ours to make yet
                make_private(self._path.parent, parents=False)
                await self._listen()
                self._log("warning", "agent", f"{self._path} was removed; made it again")


def peer_uid(request: web.Request) -> int | None:
    """Who is at the other end, as the kernel says."""
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None:
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
