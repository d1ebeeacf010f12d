"""Passwords against bcrypt hashes, without letting anybody burn this host's processors with wrong ones."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

import bcrypt

REMEMBERED = 100
"""Answers that are kept, of each kind: a flood of wrong passwords does not push out the right ones."""
WAITING = 16
"""Hashes that may wait for the one thread that computes them (about 50 ms each at cost 10)."""
BCRYPT_BYTES = 72
"""bcrypt reads no further, so a longer password cannot be told from its beginning: it is wrong."""


class Answer(Enum):
    RIGHT = "right"
    WRONG = "wrong"
    BUSY = "busy"


class BasicAuth:
    """``await BasicAuth().check(header, users)``. bcrypt runs in one thread of its own, never on the event loop."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._known: dict[bool, OrderedDict[bytes, None]] = {True: OrderedDict(), False: OrderedDict()}
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")
        self.hashed = 0

    async def check(self, header: str, users: Mapping[str, bytes]) -> Answer:
        """Whether ``header`` (Authorization) names one of ``users`` with the password of its hash."""
        given = credentials(header)
        if given is None:
            return Answer.WRONG
        user, password = given
        # An unknown user costs what a known one does, so that time does not tell who exists.
        hashed = users.get(user) or _nobody(next(iter(users.values())))
        key = self._key(user.encode(), hashed, password)
        for right, known in self._known.items():
            if key in known:
                known.move_to_end(key)
                return _answer(right and user in users)
        if key not in self._running and len(self._running) >= WAITING:
            return Answer.BUSY
        return _answer(await asyncio.shield(self._run(key, password, hashed)) and user in users)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, key: bytes, password: bytes, hashed: bytes) -> asyncio.Future[bool]:
        """The one computation of ``key``, which is remembered when it ends."""
        found = self._running.get(key)
        if found is None:
            self.hashed += 1
            found = asyncio.get_running_loop().run_in_executor(self._thread, _matches, password, hashed)
            self._running[key] = found
            found.add_done_callback(lambda done: self._remember(key, done))
        return found

    def _remember(self, key: bytes, done: asyncio.Future[bool]) -> None:
        del self._running[key]
        if done.cancelled() or done.exception() is not None:
            return
        known = self._known[done.result()]
        known[key] = None
        if len(known) > REMEMBERED:
            known.popitem(last=False)

    def _key(self, *parts: bytes) -> bytes:
        """Keyed, so that what is remembered says nothing about passwords and takes the same time to look up."""
        lengths = b"".join(len(part).to_bytes(4, "big") for part in parts)
        return hmac.digest(self._secret, lengths + b"".join(parts), hashlib.sha256)


def credentials(header: str) -> tuple[str, bytes] | None:
    """User and password of an Authorization header; None for anything else."""
    scheme, _, encoded = header.partition(" ")
    if scheme.casefold() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeError):
        return None


def _matches(password: bytes, hashed: bytes) -> bool:
    """bcrypt compares in constant time."""
    right = bcrypt.checkpw(password[:BCRYPT_BYTES], hashed)
    return right and len(password) <= BCRYPT_BYTES and b"\0" not in password


def _nobody(like: bytes) -> bytes:
    """A hash that no password has, as costly as ``like``: version, cost and salt of it, and nothing after them."""
    return like[:29] + b"." * 31


def _answer(right: bool) -> Answer:
    return Answer.RIGHT if right else Answer.WRONG
