"""Listening sockets: addresses and those of systemd, TLS that can change while they listen, a bound on connections."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from dataclasses import dataclass, field

from aiohttp import web

from wan_exporter.web_config import WebConfig
from wan_tui.core.errors import UsageError, WanTuiError

CONNECTIONS = 512
"""About this many at once: whoever opens more closes the oldest ones."""
TRIM_SECONDS = 0.05
KEEPALIVE_SECONDS = 120.0
"""How long a connection may wait for a whole request, also for the first one; scrapes come more often."""
HANDSHAKE_SECONDS = 10.0
FINISH_SECONDS = 15.0
BACKLOG = 512
FIRST_PASSED_DESCRIPTOR = 3


@dataclass(slots=True)
class _Listener:
    """``host`` is empty for every address. ``sockets`` stay open for as long as it listens, whoever serves them."""

    host: str
    sockets: list[socket.socket]
    servers: list[asyncio.Server] = field(default_factory=list)

    @property
    def port(self) -> int:
        # Port 0 on every address gives IPv4 and IPv6 one each: name that of IPv4, whose address has fewer parts.
        return int(min((found.getsockname() for found in self.sockets), key=len)[1])


class Server:
    """One web application on any number of addresses. Create it with ``await Server.of(app)``."""

    def __init__(self, runner: web.AppRunner, tls: ssl.SSLContext | None) -> None:
        self._runner = runner
        self._tls = tls
        self._listeners: list[_Listener] = []
        self._changing: set[asyncio.Task[None]] = set()
        self._trimming: asyncio.TimerHandle | None = None
        self._arrived = False

    @classmethod
    async def of(cls, app: web.Application, tls: ssl.SSLContext | None = None) -> "Server":
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=KEEPALIVE_SECONDS)
        await runner.setup()
        return cls(runner, tls)

    @property
    def urls(self) -> tuple[str, ...]:
        scheme = "http" if self._tls is None else "https"
        return tuple(
            f"{scheme}://{_bracketed(listener.host) or 'localhost'}:{listener.port}/" for listener in self._listeners
        )

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host (empty: every address) and the real port of each."""
        return tuple((listener.host, listener.port) for listener in self._listeners)

    @property
    def host(self) -> str:
        return self._listeners[0].host

    @property
    def port(self) -> int:
        return self._listeners[0].port

    @property
    def secure(self) -> bool:
        return self._tls is not None

    async def listen(self, host: str, port: int) -> None:
        """Listen there too (empty host: every address); port 0 takes a free one. Raises WanTuiError if it cannot."""
        try:
            sockets = await _bound(host, port)
        except OSError as error:
            raise WanTuiError(_cannot_listen(host, port, error)) from None
        await self._add(_Listener(host, sockets))

    async def adopt(self, listening: socket.socket) -> None:
        """Serve a socket that somebody else opened."""
        name = listening.getsockname()
        host = str(name[0]) if isinstance(name, tuple) else ""
        await self._add(_Listener("" if host in ("::", "0.0.0.0") else host, [listening]))

    def apply(self, config: WebConfig) -> None:
        """From now on connections are made as ``config`` says. Older ones are closed, each after what it is doing."""
        self._tls = config.tls
        server = self._runner.server
        assert server is not None
        for connection in server.connections:
            connection.close()  # which ends the waiting of an idle one, but leaves it open
        for work in (
            *(self._start(listener) for listener in self._listeners),
            *(connection.shutdown(FINISH_SECONDS) for connection in server.connections),
        ):
            task = asyncio.create_task(work)
            self._changing.add(task)
            task.add_done_callback(self._changing.discard)

    async def close(self) -> None:
        if self._trimming is not None:
            self._trimming.cancel()
        await asyncio.gather(*self._changing, return_exceptions=True)
        for listener in self._listeners:
            _stop(listener)
            for found in listener.sockets:
                found.close()
        await self._runner.cleanup()

    async def _add(self, listener: _Listener) -> None:
        await self._start(listener)
        self._listeners.append(listener)

    async def _start(self, listener: _Listener) -> None:
        """Serve the sockets with today's TLS. A duplicate is served, so that no connection is refused in between."""
        before, started = listener.servers, list[asyncio.Server]()
        timeout = None if self._tls is None else HANDSHAKE_SECONDS
        loop = asyncio.get_running_loop()
        for found in listener.sockets:
            server = await loop.create_server(
                self._connection,
                sock=found.dup(),
                ssl=self._tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=timeout,
            )
            started.append(server)
        listener.servers = started
        for server in before:
            server.close()

    def _connection(self) -> asyncio.Protocol:
        """The protocol of a new connection; a moment later the oldest make room if there are too many."""
        server = self._runner.server
        assert server is not None
        self._arrived = True
        if self._trimming is None:
            self._trimming = asyncio.get_running_loop().call_later(TRIM_SECONDS, self._trim)
        return server()

    def _trim(self) -> None:
        self._trimming = None
        arrived, self._arrived = self._arrived, False
        server = self._runner.server
        if server is None:
            return
        opened = [connection for connection in server.connections if connection.transport is not None]
        for connection in opened[: max(0, len(opened) - CONNECTIONS)]:
            connection.force_close()
        if arrived:  # of those that were just accepted, some may not be connected yet
            self._trimming = asyncio.get_running_loop().call_later(TRIM_SECONDS, self._trim)


def _stop(listener: _Listener) -> None:
    for server in listener.servers:
        server.close()


def passed_sockets() -> list[socket.socket]:
    """The listening sockets that systemd passes (sd_listen_fds). Their variables are taken out of the environment.

    Raises UsageError when there is none.
    """
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not count.isdigit() or int(count) < 1 or pid != str(os.getpid()):
        raise UsageError("--web.systemd-socket: systemd passed no socket; start the .socket unit, not the program")
    found = [socket.socket(fileno=FIRST_PASSED_DESCRIPTOR + number) for number in range(int(count))]
    for number, one in enumerate(found):
        if one.type != socket.SOCK_STREAM or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise UsageError(f"--web.systemd-socket: socket {number} does not listen; it needs ListenStream=")
        one.setblocking(False)
        one.set_inheritable(False)
    return found


async def _bound(host: str, port: int) -> list[socket.socket]:
    """Sockets on all addresses of ``host``. Raises OSError."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _name, address in dict.fromkeys(infos):
            try:
                one = socket.socket(family, kind, protocol)
            except OSError:  # a family that this kernel lacks
                continue
            sockets.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(BACKLOG)
        if not sockets:
            raise OSError(errno.EAFNOSUPPORT, "no address family")
    except OSError:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.close()
        raise
    return sockets


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _cannot_listen(listen: str, port: int, error: OSError) -> str:
    where = f"{listen or 'every address'} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"cannot serve metrics on {where}: the port is taken; stop what uses it or choose another port"
    if error.errno == errno.EACCES:
        return f"cannot serve metrics on {where}: not permitted; choose a port above 1023"
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    return f"cannot serve metrics on {where}: {reason}"
