"""Certificates of a test: one authority, a server on loopback, clients that are right, foreign, nameless or expired."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme

YEAR = datetime.timedelta(days=365)


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, as files."""

    certificate: Path
    key: Path


class Certificates:
    """Files in ``directory``; ``authority`` is what both sides trust, ``foreign`` what nobody does."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._authority, self._foreign = trustme.CA(), trustme.CA()
        self.authority = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(self.authority)

    def server(self, name: str = "server", *, expired: bool = False) -> Pair:
        return self._issue(self._authority, name, "127.0.0.1", "localhost", expired=expired)

    def client(self, name: str, *names: str, expired: bool = False, foreign: bool = False) -> Pair:
        return self._issue(self._foreign if foreign else self._authority, name, *names, expired=expired)

    def _issue(self, authority: trustme.CA, file: str, *names: str, expired: bool) -> Pair:
        now = datetime.datetime.now(datetime.UTC)
        until = now - datetime.timedelta(days=1) if expired else now + YEAR
        issued = authority.issue_cert(*names, not_before=now - YEAR, not_after=until)
        pair = Pair(self._directory / f"{file}.pem", self._directory / f"{file}.key")
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(pair.key)
        return pair
