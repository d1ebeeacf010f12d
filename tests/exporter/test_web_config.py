"""The file of --web.config.file: what is taken, and one line of help for what is not."""

import ssl
from pathlib import Path

import pytest

from tests.exporter.certificates import Certificates, Pair
from wan_exporter.web_config import HEADERS, duration_seconds, load_web_config
from wan_tui.core.errors import WanTuiError

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"  # as the toolkit's own page shows one


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def pair(certificates: Certificates) -> Pair:
    return certificates.server()


def test_an_empty_file_guards_nothing(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("# nothing yet\n")
    config = load_web_config(tmp_path / "web.yml")
    assert (config.tls, config.users, config.headers, config.rate_interval_seconds) == (None, {}, {}, 0)


def test_everything_at_once(tmp_path: Path, certificates: Certificates, pair: Pair) -> None:
    """Files are found beside the configuration, and whatever is read is watched."""
    for name, file in (("server.pem", pair.certificate), ("server.key", pair.key), ("ca.pem", certificates.authority)):
        (tmp_path / name).write_bytes(file.read_bytes())
    file = tmp_path / "web.yml"
    headers = "\n".join(f"    {name}: nosniff" for name in HEADERS)
    file.write_text(
        f"""\
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus]
  min_version: TLS12
  max_version: TLS12
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]
  prefer_server_cipher_suites: true
  curve_preferences: [CurveP384]
http_server_config:
  http2: false
  headers:
{headers}
basic_auth_users:
  prometheus: {HASH}
rate_limit: {{interval: 1m30s, burst: 20}}
"""
    )
    config = load_web_config(file)
    assert config.tls is not None
    assert config.tls.verify_mode is ssl.CERT_REQUIRED
    assert (config.tls.minimum_version, config.tls.maximum_version) == (ssl.TLSVersion.TLSv1_2,) * 2
    below_1_3 = {cipher["name"] for cipher in config.tls.get_ciphers() if cipher["protocol"] != "TLSv1.3"}
    assert below_1_3 == {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"}
    assert config.allowed_sans == {"prometheus"}
    assert set(config.headers) == set(HEADERS)
    assert config.users == {"prometheus": HASH.encode()}
    assert (config.rate_interval_seconds, config.rate_burst) == (90, 20)
    assert [found.name for found in config.files] == ["web.yml", "server.pem", "server.key", "ca.pem"]


TLS = "tls_server_config: {{cert_file: {certificate}, key_file: {key}, {more}}}"
MISTAKES = {
    "not YAML": ("a: [1", "not valid YAML"),
    "not a mapping": ("- 1", "the file: must be a mapping"),
    "unknown section": (
        "basic_auth_user: {}",
        "basic_auth_user: unknown key 'basic_auth_user': did you mean basic_auth_users?",
    ),
    "unknown key": ("tls_server_config: {certfile: a}", "tls_server_config.certfile: unknown key"),
    "no key": ("tls_server_config: {cert_file: a.pem}", "give either key_file or key"),
    "both": ("tls_server_config: {cert_file: a, cert: b, key: c}", "give either cert_file or cert"),
    "plain password": ("basic_auth_users: {prometheus: secret}", "basic_auth_users.prometheus: not a bcrypt hash"),
    "unknown header": ("http_server_config: {headers: {X-Powered-By: a}}", "unknown header 'X-Powered-By'"),
    "header of two lines": ('http_server_config: {headers: {X-Frame-Options: "a\\nb"}}', "printable ASCII in one line"),
    "no duration": ("rate_limit: {interval: soon}", "rate_limit.interval = 'soon': not a duration such as 500ms"),
    "old TLS": (TLS.format(certificate="{c}", key="{k}", more="min_version: TLS10"), "not served; use TLS12 or TLS13"),
    "versions crossed": (
        TLS.format(certificate="{c}", key="{k}", more="min_version: TLS13, max_version: TLS12"),
        "min_version TLS13 is above max_version TLS12",
    ),
    "certificate not verified": (
        TLS.format(certificate="{c}", key="{k}", more="client_auth_type: RequireAnyClientCert, client_ca_file: '{ca}'"),
        "asks for a certificate without checking it; use RequireAndVerifyClientCert",
    ),
    "no authority": (
        TLS.format(certificate="{c}", key="{k}", more="client_auth_type: RequireAndVerifyClientCert"),
        "needs a client_ca_file",
    ),
    "names of nobody": (
        TLS.format(certificate="{c}", key="{k}", more="client_allowed_sans: [a]"),
        "client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert",
    ),
    "weak cipher": (
        TLS.format(certificate="{c}", key="{k}", more="cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"),
        "unknown name 'TLS_RSA_WITH_RC4_128_SHA'",
    ),
    "no such file": (TLS.format(certificate="absent.pem", key="{k}", more=""), "No such file or directory"),
    "a key for a certificate": (TLS.format(certificate="{k}", key="{k}", more=""), "not in PEM form"),
    "not its key": (TLS.format(certificate="{c}", key="{other}", more=""), "they do not belong together"),
}


@pytest.mark.parametrize(("text", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_names_the_file(
    tmp_path: Path, certificates: Certificates, pair: Pair, text: str, told: str
) -> None:
    other = certificates.server("other")
    for name, file in (("c", pair.certificate), ("k", pair.key), ("other", other.key), ("ca", certificates.authority)):
        text = text.replace(f"{{{name}}}", str(file))
    file = tmp_path / "web.yml"
    file.write_text(text)
    with pytest.raises(WanTuiError) as caught:
        load_web_config(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WanTuiError, match="does not exist") as caught:
        load_web_config(tmp_path / "absent.yml")
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("500ms", 0.5), ("2s", 2), ("1m30s", 90), ("1h", 3600), ("1d", 86_400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 s", "1w"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_seconds(text)
