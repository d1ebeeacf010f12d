"""TLS, client certificates and passwords, asked by curl and by Prometheus: right, wrong, none, expired, changed."""

import asyncio
import base64
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from tests import snapshots
from tests.exporter.certificates import Certificates, Pair
from tests.exporter.curl import Answer, curl
from tests.exporter.live import prometheus
from wan_exporter.access import Access
from wan_exporter.basic_auth import WAITING, BasicAuth
from wan_exporter.basic_auth import Answer as Known
from wan_exporter.web import Server, WebOptions, create_app

# The lowest cost that bcrypt has: what is tested is who gets in, not how long hashing takes.
HASH = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users:\n  prometheus: {HASH}\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server_pair(certificates: Certificates) -> Pair:
    return certificates.server()


def tls(pair: Pair, *lines: str) -> str:
    own = (f"cert_file: {pair.certificate}", f"key_file: {pair.key}", *lines)
    return "tls_server_config:\n" + "".join(f"  {line}\n" for line in own)


def asking(certificates: Certificates, *lines: str) -> tuple[str, ...]:
    """A server that lets in only clients of the authority."""
    return ("client_auth_type: RequireAndVerifyClientCert", f"client_ca_file: {certificates.authority}", *lines)


def write(file: Path, text: str) -> None:
    file.write_text(text)


@contextlib.asynccontextmanager
async def guarded(file: Path, text: str) -> AsyncIterator[tuple[Server, Access]]:
    """The exporter behind a web configuration, without its watch: tests call ``look`` when they changed something."""
    write(file, text)
    access = Access(file)
    app = create_app(lambda: snapshots.pocket_running(time.time()), options=WebOptions(access=access))
    server = await Server.of(app, access.config.tls)
    await server.listen("127.0.0.1", 0)
    access.on_change.append(server.apply)
    try:
        yield server, access
    finally:
        await server.close()
        access.close()


@pytest.fixture
def web_file(tmp_path: Path) -> Path:
    return tmp_path / "web.yml"


async def ask(server: Server, certificates: Certificates, *options: str, path: str = "metrics") -> Answer:
    return await curl(server.url + path, "--cacert", str(certificates.authority), *options)


def presenting(pair: Pair) -> tuple[str, ...]:
    return "--cert", str(pair.certificate), "--key", str(pair.key)


# --- TLS ------------------------------------------------------------------------------------------------------------


async def test_https_from_1_2_on(web_file: Path, certificates: Certificates, server_pair: Pair) -> None:
    async with guarded(web_file, tls(server_pair)) as (server, _):
        assert server.url.startswith("https://")
        answer = await ask(server, certificates)
        assert answer.status == 200
        assert "wantui_deployment_state" in answer.body
        assert (await ask(server, certificates, "--tls-max", "1.2")).status == 200
        # curl's own library may refuse 1.1 too: an old client gets no answer either way.
        assert (await ask(server, certificates, "--tlsv1.0", "--tls-max", "1.1")).status == 0
        assert (await curl(server.url)).status == 0, "an authority that the client does not know"
        assert (await curl(server.url.replace("https", "http"))).status == 0, "no plain HTTP beside it"


@pytest.mark.parametrize(("version", "right", "wrong"), [("TLS12", "1.2", "1.3"), ("TLS13", "1.3", "1.2")])
async def test_the_versions_that_the_file_says(
    web_file: Path, certificates: Certificates, server_pair: Pair, version: str, right: str, wrong: str
) -> None:
    text = tls(server_pair, f"min_version: {version}", f"max_version: {version}")
    async with guarded(web_file, text) as (server, _):
        assert (await ask(server, certificates, f"--tlsv{right}", "--tls-max", right)).status == 200
        assert (await ask(server, certificates, f"--tlsv{wrong}", "--tls-max", wrong)).status == 0


async def test_an_expired_server_certificate_is_refused_by_clients(web_file: Path, certificates: Certificates) -> None:
    async with guarded(web_file, tls(certificates.server("old", expired=True))) as (server, _):
        answer = await ask(server, certificates)
    assert answer.status == 0
    assert "expired" in answer.error


async def test_client_certificates(web_file: Path, certificates: Certificates, server_pair: Pair) -> None:
    async with guarded(web_file, tls(server_pair, *asking(certificates))) as (server, _):
        assert (await ask(server, certificates, *presenting(certificates.client("right", "scraper")))).status == 200
        assert (await ask(server, certificates)).status == 0
        foreign = certificates.client("foreign", "scraper", foreign=True)
        assert (await ask(server, certificates, *presenting(foreign))).status == 0
        expired = certificates.client("expired", "scraper", expired=True)
        assert (await ask(server, certificates, *presenting(expired))).status == 0


async def test_only_the_names_that_are_allowed(web_file: Path, certificates: Certificates, server_pair: Pair) -> None:
    names = "client_allowed_sans: [prometheus.example.org, 10.0.0.7, robot@example.org]"
    async with guarded(web_file, tls(server_pair, *asking(certificates, names))) as (server, _):
        for number, name in enumerate(("prometheus.example.org", "10.0.0.7", "robot@example.org")):
            pair = certificates.client(f"allowed-{number}", name, "another.example.org")
            assert (await ask(server, certificates, *presenting(pair))).status == 200
        for number, name in enumerate(("www.prometheus.example.org", "10.0.0.70", "scraper")):
            pair = certificates.client(f"refused-{number}", name)
            for path in ("metrics", "-/healthy", "", "nowhere"):
                answer = await ask(server, certificates, *presenting(pair), path=path)
                assert answer.status == 403
                assert "wantui" not in answer.body


async def test_a_certificate_if_there_is_one(web_file: Path, certificates: Certificates, server_pair: Pair) -> None:
    lines = ("client_auth_type: VerifyClientCertIfGiven", f"client_ca_file: {certificates.authority}")
    async with guarded(web_file, tls(server_pair, *lines)) as (server, _):
        assert (await ask(server, certificates)).status == 200
        foreign = certificates.client("stranger", "scraper", foreign=True)
        assert (await ask(server, certificates, *presenting(foreign))).status == 0


async def test_certificate_and_key_within_the_file(
    web_file: Path, certificates: Certificates, server_pair: Pair
) -> None:
    parts = {"cert": server_pair.certificate, "key": server_pair.key}
    text = "tls_server_config:\n"
    for name, file in parts.items():
        text += f"  {name}: |\n" + "".join(f"    {line}\n" for line in file.read_text().splitlines())
    async with guarded(web_file, text) as (server, _):
        assert (await ask(server, certificates)).status == 200


# --- passwords and headers ------------------------------------------------------------------------------------------


async def test_users_and_passwords(web_file: Path) -> None:
    async with guarded(web_file, USERS) as (server, _):
        for given, status in (
            ("prometheus:correct horse", 200),
            ("prometheus:wrong", 401),
            ("prometheus:", 401),
            ("prometheus:correct horse" + "x" * 80, 401),
            ("Prometheus:correct horse", 401),
            ("nobody:correct horse", 401),
            (":", 401),
        ):
            assert (await curl(server.url + "metrics", "-u", given)).status == status, given
        for path in ("metrics", "-/healthy", "-/ready", "", "docs", "sd", "nowhere"):
            answer = await curl(server.url + path, "-i")
            assert answer.status == 401
            assert 'WWW-Authenticate: Basic realm="wan-exporter"' in answer.body
            assert "wantui" not in answer.body
        for header in ("Bearer abc", "Basic", "Basic %%%", "Basic cHJvbWV0aGV1cw==", "Basic /w=="):
            assert (await curl(server.url + "metrics", "-H", f"Authorization: {header}")).status == 401, header


async def test_headers_are_on_every_answer(web_file: Path) -> None:
    text = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=60\n"
    async with guarded(web_file, text + USERS) as (server, _):
        for path, user in (
            ("metrics", "prometheus:correct horse"),
            ("metrics", "a:b"),
            ("x", "prometheus:correct horse"),
        ):
            answer = await curl(server.url + path, "-i", "-u", user)
            assert "X-Frame-Options: deny" in answer.body
            assert "Strict-Transport-Security: max-age=60" in answer.body


async def test_requests_are_limited_when_told(web_file: Path) -> None:
    async with guarded(web_file, "rate_limit:\n  interval: 1h\n  burst: 3\n") as (server, _):
        assert [(await curl(server.url + "-/healthy")).status for _ in range(5)] == [200, 200, 200, 429, 429]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_each_password_is_hashed_once_right_or_wrong() -> None:
    auth, users = BasicAuth(), {"prometheus": HASH.encode()}
    for _ in range(3):
        assert await auth.check(basic("prometheus", "correct horse"), users) is Known.RIGHT
        assert await auth.check(basic("prometheus", "guess"), users) is Known.WRONG
        assert await auth.check(basic("nobody", "guess"), users) is Known.WRONG
    assert auth.hashed == 3
    # A flood of guesses does not push out who is known.
    for number in range(300):
        await auth.check(basic("prometheus", f"guess {number}"), users)
    before = auth.hashed
    assert await auth.check(basic("prometheus", "correct horse"), users) is Known.RIGHT
    assert auth.hashed == before
    # A changed hash is another question.
    changed = {"prometheus": bcrypt.hashpw(b"other", bcrypt.gensalt(4))}
    assert await auth.check(basic("prometheus", "correct horse"), changed) is Known.WRONG
    auth.close()


async def test_guessing_costs_one_thread_and_not_the_loop() -> None:
    """Costly hashes, many guesses at once: most are turned away, and other work goes on beside it."""
    auth, users = BasicAuth(), {"prometheus": bcrypt.hashpw(b"correct horse", bcrypt.gensalt(9))}
    assert await auth.check(basic("prometheus", "correct horse"), users) is Known.RIGHT
    guesses = [asyncio.create_task(auth.check(basic("prometheus", f"{n}"), users)) for n in range(WAITING * 3)]
    await asyncio.sleep(0)
    assert await auth.check(basic("prometheus", "correct horse"), users) is Known.RIGHT, "known: it need not wait"
    assert not all(task.done() for task in guesses)
    answers = await asyncio.gather(*guesses)
    assert answers.count(Known.BUSY) == WAITING * 2
    assert answers.count(Known.WRONG) == WAITING
    auth.close()


# --- changed while it runs ------------------------------------------------------------------------------------------


async def test_the_file_is_taken_up_when_it_changes(
    web_file: Path, certificates: Certificates, server_pair: Pair
) -> None:
    async with guarded(web_file, "") as (server, access), aiohttp.ClientSession() as session:
        plain = server.url
        async with session.get(plain + "-/healthy") as response:
            assert response.status == 200
        write(web_file, USERS)
        await access.look()
        async with session.get(plain + "-/healthy") as response:
            assert response.status == 401
        write(web_file, USERS + tls(server_pair))
        await access.look()
        await asyncio.sleep(0.05)
        with pytest.raises(aiohttp.ClientError):
            await session.get(plain + "-/healthy")
        assert (await ask(server, certificates)).status == 401
        assert (await ask(server, certificates, "-u", "prometheus:correct horse")).status == 200
        write(web_file, "")
        await access.look()
        await asyncio.sleep(0.05)
        assert (await curl(plain + "metrics")).status == 200


async def test_a_renewed_certificate_is_taken_up(web_file: Path, certificates: Certificates) -> None:
    pair = certificates.server("renewed", expired=True)
    async with guarded(web_file, tls(pair)) as (server, access):
        assert (await ask(server, certificates)).status == 0
        certificates.server("renewed")
        await access.look()
        await asyncio.sleep(0.05)
        assert (await ask(server, certificates)).status == 200


async def test_a_mistake_keeps_what_applied_and_is_told_once(web_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with guarded(web_file, USERS) as (server, access):
        write(web_file, "basic_auth_user: {}\n")
        await access.look()
        await access.look()
        assert access.problem is not None
        assert "did you mean basic_auth_users?" in access.problem
        assert len([record for record in caplog.records if "not taken up" in record.message]) == 1
        assert (await curl(server.url + "metrics")).status == 401
        os.remove(web_file)
        await access.look()
        assert (await curl(server.url + "metrics")).status == 401, "a missing file opens nothing"


# --- Prometheus itself ----------------------------------------------------------------------------------------------


async def test_prometheus_with_certificate_and_password(
    tmp_path: Path, web_file: Path, certificates: Certificates, server_pair: Pair
) -> None:
    """Four jobs against one exporter: only who has both is let in, and the others' failure says why."""
    right, expired = certificates.client("prom", "prometheus"), certificates.client("late", "prometheus", expired=True)
    text = tls(server_pair, *asking(certificates, "client_allowed_sans: [prometheus]")) + USERS
    async with guarded(web_file, text) as (server, _):
        target = server.url.removeprefix("https://").rstrip("/")

        def job(name: str, pair: Pair | None, password: str | None) -> str:
            lines = [
                f"- job_name: {name}",
                "  scheme: https",
                "  tls_config:",
                f"    ca_file: {certificates.authority}",
            ]
            if pair is not None:
                lines += [f"    cert_file: {pair.certificate}", f"    key_file: {pair.key}"]
            if password is not None:
                lines.append(f"  basic_auth: {{username: prometheus, password: {password}}}")
            return "\n".join((*lines, f"  static_configs: [{{targets: ['{target}']}}]"))

        jobs = "\n".join(
            (
                job("right", right, "correct horse"),
                job("wrong", right, "wrong"),
                job("none", None, "correct horse"),
                job("expired", expired, "correct horse"),
            )
        )
        async with prometheus(tmp_path, jobs=jobs) as prom:
            await prom.until("count(up) == 4")
            await prom.until('up{job="right"} == 1')
            await prom.until('wantui_deployment_state{job="right",deployment="pocket"} == 1')
            down = {entry["metric"]["job"] for entry in await prom.query("up == 0")}
            assert down == {"wrong", "none", "expired"}
            errors = {one["labels"]["job"]: one["lastError"] for one in (await prom.api("targets"))["activeTargets"]}
            assert errors["right"] == ""
            assert "401" in errors["wrong"]
            for refused in ("none", "expired"):  # the handshake failed: asyncio hangs up without an alert
                assert errors[refused]
                assert "HTTP" not in errors[refused]
