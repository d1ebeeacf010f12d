"""TLS as the web configuration asks for it, in terms of Python's ssl module. Names of suites and curves are Go's."""

import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wan_tui.core.errors import WanTuiError

VERSIONS: Mapping[str, ssl.TLSVersion] = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}

# The suites of TLS 1.2 that Go calls secure (crypto/tls.CipherSuites); those of TLS 1.3 cannot be chosen in Go either.
CIPHERS: Mapping[str, str | None] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256": None,
    "TLS_AES_256_GCM_SHA384": None,
    "TLS_CHACHA20_POLY1305_SHA256": None,
}
CURVES: Mapping[str, str] = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1"}
CURVES = {**CURVES, "X25519": "X25519"}


def context(
    *,
    certificate: Path | str,
    key: Path | str,
    client_authority: Path | str | None,
    verify_mode: ssl.VerifyMode,
    versions: tuple[str, str],
    cipher_suites: Sequence[str],
    server_preference: bool,
    curve: str | None,
) -> ssl.SSLContext:
    """A server's context; ``certificate``, ``key`` and ``client_authority`` are files or PEM text. Raises
    WanTuiError.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version, made.maximum_version = VERSIONS[versions[0]], VERSIONS[versions[1]]
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if server_preference:
        made.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    chosen = [name for suite in cipher_suites if (name := CIPHERS[suite]) is not None]
    made.set_ciphers(":".join(chosen) or "ECDHE+AESGCM:ECDHE+CHACHA20")
    if curve is not None:
        made.set_ecdh_curve(CURVES[curve])
    with _file(certificate, "cert_file") as chain, _file(key, "key_file") as private:
        try:
            made.load_cert_chain(chain, private, password=_no_password)
        except ssl.SSLError as error:
            raise WanTuiError(f"certificate {_name(certificate)} and key {_name(key)}: {_reason(error)}") from None
    if client_authority is not None:
        with _file(client_authority, "client_ca_file") as authority:
            try:
                made.load_verify_locations(authority)
            except ssl.SSLError as error:
                raise WanTuiError(f"client authority {_name(client_authority)}: {_reason(error)}") from None
    made.verify_mode = verify_mode
    return made


def alternative_names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The subject alternative names of a verified peer (as ``getpeercert`` gives it): DNS, IP, e-mail and URI."""
    return frozenset(str(value) for _kind, value in (certificate or {}).get("subjectAltName", ()))


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    raise WanTuiError("the key is encrypted; give one that is not, readable for this user alone")


@contextmanager
def _file(given: Path | str, key: str) -> Iterator[str]:
    """The name of a readable file with ``given``; PEM text gets one in memory, since OpenSSL only reads files."""
    if isinstance(given, str):
        descriptor = os.memfd_create("wan-exporter-pem")
        try:
            os.write(descriptor, given.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    try:
        with given.open("rb"):
            pass
    except OSError as error:
        raise WanTuiError(f"{key} {given}: {error.strerror}") from None
    yield str(given)


def _name(given: Path | str) -> str:
    return str(given) if isinstance(given, Path) else "in the file"


def _reason(error: ssl.SSLError) -> str:
    if error.reason is None:  # OpenSSL's "PEM lib": it found nothing that it was looking for
        return "not in PEM form, or not what it should be"
    words = error.reason.replace("_", " ").lower()
    return {
        "key values mismatch": "they do not belong together",
        "no start line": "not in PEM form",
        "no certificate or crl found": "no certificate in it",
    }.get(words, words)
