"""A Hugging Face hub on a local port: one repository, with the calls that snapshot_download makes, and faults."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """``gated``; ``broken``: answers 503; ``cut``: bytes of a weight file after which its connection breaks.

    ``goes_away``: broken from then on.
    """

    repository: str
    folder: Path
    url: str = ""
    gated: bool = False
    broken: bool = False
    cut: int | None = None
    goes_away: bool = False
    ranges: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/api/models/{owner}/{name}/revision/{revision}", self._info)
        application.router.add_get("/api/models/{owner}/{name}/tree/{revision}", self._tree)
        application.router.add_get("/{owner}/{name}/resolve/{revision}/{file:.+}", self._file)
        return application

    def _refuse(self, request: web.Request) -> web.Response | None:
        if self.broken:
            return web.Response(status=503)
        if f"{request.match_info['owner']}/{request.match_info['name']}" != self.repository:
            return web.Response(status=404, headers={"X-Error-Code": "RepoNotFound"})
        if self.gated:
            return web.Response(status=403, headers={"X-Error-Code": "GatedRepo"})
        if request.match_info["revision"] not in ("main", COMMIT):
            return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        return None

    def _files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    async def _info(self, request: web.Request) -> web.Response:
        if refused := self._refuse(request):
            return refused
        siblings = [{"rfilename": name} for name in self._files()]
        return web.json_response(
            {"id": self.repository, "modelId": self.repository, "sha": COMMIT, "siblings": siblings}
        )

    async def _tree(self, request: web.Request) -> web.Response:
        if refused := self._refuse(request):
            return refused
        entries = []
        for name in self._files():
            data = (self.folder / name).read_bytes()
            entry = {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            if name.endswith(".safetensors"):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}  # type: ignore[assignment]
            entries.append(entry)
        return web.json_response(entries)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refuse(request):
            return refused
        data = (self.folder / request.match_info["file"]).read_bytes()
        large = request.match_info["file"].endswith(".safetensors")
        etag = hashlib.sha256(data).hexdigest() if large else hashlib.sha1(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))} if large else {}
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(data))})
        begin = 0
        self.fetched.append(request.match_info["file"])
        if wanted := request.headers.get("Range"):
            self.ranges.append(wanted)
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
        body = data[begin:]
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        response = web.StreamResponse(status=206 if begin else 200, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        if large and self.cut is not None and len(body) > self.cut:
            await response.write(body[: self.cut])
            self.broken = self.goes_away
            await asyncio.sleep(0.2)
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write(body)
        return response


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub on a free port of this machine, in a thread of its own."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(hub.application())

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        hub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
