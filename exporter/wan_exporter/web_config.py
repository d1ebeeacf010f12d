"""The file of ``--web.config.file``, in the form that Prometheus' exporter-toolkit documents: parsed, checked, frozen.

Reference: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
What this server cannot do is refused with the reason, never ignored.
"""

import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from wan_exporter.tls import CIPHERS, CURVES, VERSIONS, context
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name

HEADERS = (
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
)
# bcrypt as htpasswd -B and every library writes it: version, cost, 22 characters of salt, 31 of hash.
_BCRYPT = r"^\$2[abxy]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}$"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NOT_VERIFYING = ("RequestClientCert", "RequireAnyClientCert")

Text = Annotated[str, StringConstraints(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TlsSection(_Section):
    """Certificate, key and what is asked of clients. Files are relative to the folder of the configuration."""

    cert: Text | None = None
    key: Text | None = None
    client_ca: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None
    client_auth_type: str = "NoClientCert"
    client_ca_file: Text | None = None
    client_allowed_sans: list[Text] = Field(default_factory=list)
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: list[str] = Field(default_factory=list)
    prefer_server_cipher_suites: bool = True
    curve_preferences: list[str] = Field(default_factory=list, max_length=1)

    @field_validator("min_version", "max_version")
    @classmethod
    def _modern(cls, value: str) -> str:
        if value not in VERSIONS:
            raise ValueError(f"not served; use {' or '.join(VERSIONS)}")
        return value

    @field_validator("client_auth_type")
    @classmethod
    def _verifies(cls, value: str) -> str:
        if value in _NOT_VERIFYING:
            raise ValueError("asks for a certificate without checking it; use RequireAndVerifyClientCert")
        if value not in _VERIFY_MODES:
            raise ValueError(str(unknown_name("client_auth_type", value, _VERIFY_MODES)))
        return value

    @field_validator("cipher_suites", "curve_preferences")
    @classmethod
    def _known(cls, value: list[str], info: Any) -> list[str]:
        known = CIPHERS if info.field_name == "cipher_suites" else CURVES
        for name in value:
            if name not in known:
                raise ValueError(str(unknown_name("name", name, known)))
        return value

    @model_validator(mode="after")
    def _complete(self) -> "TlsSection":
        for what, inline, file in (("cert", self.cert, self.cert_file), ("key", self.key, self.key_file)):
            if (inline is None) == (file is None):
                raise ValueError(f"give either {what}_file or {what}")
        if self.client_ca is not None and self.client_ca_file is not None:
            raise ValueError("give either client_ca_file or client_ca")
        has_ca = self.client_ca is not None or self.client_ca_file is not None
        if has_ca != (self.client_auth_type != "NoClientCert"):
            raise ValueError("client_ca_file needs a client_auth_type that verifies, and that needs a client_ca_file")
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            raise ValueError("client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert")
        if self.min_version > self.max_version:
            raise ValueError(f"min_version {self.min_version} is above max_version {self.max_version}")
        return self


_VERIFY_MODES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


class HttpSection(_Section):
    """``http2`` is accepted and has no effect: HTTP/1.1 is served, which every client of HTTP/2 speaks too."""

    http2: bool = True
    headers: dict[str, str] = Field(default_factory=dict)

    @field_validator("headers")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if name not in HEADERS:
                raise ValueError(str(unknown_name("header", name, HEADERS)))
            if not text.isascii() or not text.isprintable():
                raise ValueError(f"{name}: printable ASCII in one line is needed")
        return {name: text for name, text in value.items() if text}


class RateSection(_Section):
    """One request per ``interval``, and ``burst`` of them at once. An interval of 0 limits nothing."""

    interval: str | int | float = 0
    burst: int = Field(default=1, ge=1)

    @field_validator("interval")
    @classmethod
    def _duration(cls, value: str | int | float) -> float:
        return duration_seconds(value)


class WebFile(_Section):
    tls_server_config: TlsSection | None = None
    http_server_config: HttpSection = Field(default_factory=HttpSection)
    basic_auth_users: dict[Text, Annotated[str, StringConstraints(pattern=_BCRYPT)]] = Field(default_factory=dict)
    rate_limit: RateSection = Field(default_factory=RateSection)


def duration_seconds(value: str | int | float) -> float:
    """A duration as Prometheus writes it (``500ms``, ``1m30s``), in seconds. Raises ValueError."""
    text = str(value)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", text)
    if text in ("0", "0.0"):
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("not a duration such as 500ms, 2s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What applies to connections and requests. ``files`` are all that were read, to see when one changes."""

    tls: ssl.SSLContext | None = None
    allowed_sans: frozenset[str] = frozenset()
    users: MappingProxyType[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    headers: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    rate_interval_seconds: float = 0.0
    rate_burst: int = 1
    files: tuple[Path, ...] = ()


PLAIN = WebConfig()
"""Without a file: HTTP for everybody who can reach the address."""


def load_web_config(file: Path) -> WebConfig:
    """Read ``file`` and the certificates that it names. Raises WanTuiError naming file, key, value and fix."""
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"web configuration file {file} does not exist") from None
    except OSError as error:
        raise WanTuiError(f"cannot read web configuration file {file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{file}: not valid YAML: {_one_line(error)}") from None
    try:
        parsed = WebFile.model_validate({} if data is None else data)
    except ValidationError as error:
        raise UsageError(f"{file}: {_problem(error)}") from None
    return _compiled(file, parsed)


def _compiled(file: Path, parsed: WebFile) -> WebConfig:
    tls = parsed.tls_server_config
    files = [file]
    made = None
    if tls is not None:
        paths = {
            name: file.parent / given
            for name in ("cert_file", "key_file", "client_ca_file")
            if (given := getattr(tls, name)) is not None
        }
        files += paths.values()
        try:
            made = context(
                certificate=paths.get("cert_file") or (tls.cert or ""),
                key=paths.get("key_file") or (tls.key or ""),
                client_authority=paths.get("client_ca_file") or tls.client_ca,
                verify_mode=_VERIFY_MODES[tls.client_auth_type],
                versions=(tls.min_version, tls.max_version),
                cipher_suites=tls.cipher_suites,
                server_preference=tls.prefer_server_cipher_suites,
                curve=next(iter(tls.curve_preferences), None),
            )
        except WanTuiError as error:
            raise WanTuiError(f"{file}: tls_server_config: {error}") from None
    rate = parsed.rate_limit
    return WebConfig(
        tls=made,
        allowed_sans=frozenset(tls.client_allowed_sans if tls is not None else ()),
        users=MappingProxyType({name: hashed.encode() for name, hashed in parsed.basic_auth_users.items()}),
        headers=MappingProxyType(dict(parsed.http_server_config.headers)),
        rate_interval_seconds=float(rate.interval),
        rate_burst=rate.burst,
        files=tuple(files),
    )


def signature(files: Iterable[Path]) -> tuple[tuple[int, int, int] | None, ...]:
    """What changes when one of ``files`` is written, replaced or removed."""
    return tuple(map(_state, files))


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _problem(error: ValidationError) -> str:
    """The first mistake; a secret (a hash, a key) is never repeated."""
    problem = error.errors()[0]
    where = [str(part) for part in problem["loc"]]
    key = ".".join(where) or "the file"
    rest = "" if error.error_count() == 1 else f" (and {error.error_count() - 1} more)"
    if problem["type"] == "extra_forbidden":
        return f"{key}: {unknown_name('key', where[-1], _keys(where[:-1]))}{rest}"
    if problem["type"] == "model_type":
        return f"{key}: must be a mapping of keys to values{rest}"
    if where[:1] == ["basic_auth_users"] and len(where) > 1:
        return f"{key}: not a bcrypt hash; make one with htpasswd -nBC 10 \"\" | tr -d ':\\n'{rest}"
    secret = where[-1:] in (["key"], ["cert"]) or isinstance(problem["input"], dict)
    value = "" if secret else f" = {problem['input']!r}"
    return f"{key}{value}: {problem['msg'].removeprefix('Value error, ')}{rest}"


def _keys(section: list[str]) -> list[str]:
    if not section:
        return list(WebFile.model_fields)
    sections: dict[str, type[_Section]] = {
        "tls_server_config": TlsSection,
        "http_server_config": HttpSection,
        "rate_limit": RateSection,
    }
    return list(sections[section[0]].model_fields)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
