"""The real program with a web configuration, with sockets of systemd, and with a fleet."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest

from tests.exporter.certificates import Certificates
from tests.exporter.curl import curl
from tests.exporter.test_process import config as config_file
from tests.exporter.test_process import refused, running

config = config_file
HASH = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()


async def test_certificate_and_password_while_it_runs(config: Path, tmp_path: Path) -> None:
    """Plain, then HTTPS with a password, then a mistake that changes nothing: without a restart."""
    certificates, web = Certificates(tmp_path), tmp_path / "web.yml"
    pair = certificates.server()
    web.write_text("")
    options = ("--web.listen-address=127.0.0.1:0", f"--web.config.file={web}")
    async with running(config, *options) as (process, (target,)):
        trusting = ("--cacert", str(certificates.authority))

        async def until(status: int, url: str, *given: str) -> None:
            async with asyncio.timeout(20):
                while (await curl(url, *trusting, *given)).status != status:  # noqa: ASYNC110, another process
                    await asyncio.sleep(0.2)

        await until(200, f"http://{target}/-/ready")
        text = f"tls_server_config: {{cert_file: {pair.certificate}, key_file: {pair.key}}}\n"
        web.write_text(text + f"basic_auth_users: {{prometheus: {HASH}}}\n")
        await until(401, f"https://{target}/metrics")
        await until(200, f"https://{target}/metrics", "-u", "prometheus:correct horse")
        assert (await curl(f"http://{target}/metrics")).status == 0
        web.write_text(text + "basic_auth_users: {prometheus: plain}\n")
        assert process.stderr is not None
        async with asyncio.timeout(20):
            while b"not taken up" not in (line := await process.stderr.readline()):
                assert line
        assert b"not a bcrypt hash" in line
        assert (await curl(f"https://{target}/metrics", *trusting)).status == 401
        await until(200, f"https://{target}/metrics", "-u", "prometheus:correct horse")


def test_a_wrong_web_configuration_is_one_line(config: Path, tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text("tls_server_config: {cert_file: absent.pem, key_file: absent.key}\n")
    status, text = refused("--config", str(config), f"--web.config.file={web}")
    assert (status, len(text.splitlines())) == (1, 1)
    assert "absent.pem: No such file or directory" in text


async def test_sockets_of_systemd(config: Path) -> None:
    """Two sockets as sd_listen_fds passes them: descriptors 3 and 4, and the process id of the program itself."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = [one.getsockname()[1] for one in (first, second)]
        numbers = (first.fileno(), second.fileno())
        script = (
            "import os, sys; "
            f"a, b = os.dup({numbers[0]}), os.dup({numbers[1]}); os.dup2(a, 3); os.dup2(b, 4); "
            "[os.set_inheritable(number, True) for number in (3, 4)]; "
            "os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid())); "
            "os.execv(sys.executable, [sys.executable, '-m', 'wan_exporter', *sys.argv[1:]])"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", script, "--config", str(config), "--web.systemd-socket"),
            stderr=subprocess.DEVNULL,
            pass_fds=numbers,
        )
        try:
            async with asyncio.timeout(30):
                for port in ports:
                    while (await curl(f"http://127.0.0.1:{port}/-/healthy")).status != 200:
                        assert process.returncode is None
                        await asyncio.sleep(0.2)
            targets = json.loads((await curl(f"http://127.0.0.1:{ports[0]}/sd")).body)
            assert [group["targets"] for group in targets] == [[f"127.0.0.1:{port}"] for port in ports]
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def test_without_sockets_of_systemd_it_says_so(config: Path) -> None:
    status, text = refused("--config", str(config), "--web.systemd-socket")
    assert status == 2
    assert "systemd passed no socket" in text
    status, text = refused("--web.systemd-socket", "--web.listen-address=:1")
    assert status == 2
    assert "exclude each other" in text


@pytest.fixture
def fleet(config: Path) -> Path:
    text = config.read_text() + '[fleet]\ntargets = ["render-02:12022", "https://[2001:db8::7]:443"]\n'
    config.write_text(text)
    return config


async def test_the_fleet_of_the_configuration_is_listed(fleet: Path) -> None:
    async with running(fleet, "--web.listen-address=127.0.0.1:0") as (_, (target,)):
        groups = json.loads((await curl(f"http://{target}/sd")).body)
    assert [group["targets"] for group in groups] == [[target], ["render-02:12022"], ["[2001:db8::7]:443"]]
    assert groups[0]["labels"]["__meta_wantui_own"] == "true"
    assert groups[2]["labels"]["__scheme__"] == "https"


@pytest.mark.parametrize("target", ["render-02", "ftp://a:1", "a b:1", "a:port", "::1:1"])
def test_a_wrong_target_is_told(config: Path, target: str) -> None:
    config.write_text(config.read_text() + f'[fleet]\ntargets = ["{target}"]\n')
    status, text = refused("--config", str(config))
    assert (status, len(text.splitlines())) == (2, 1)
    assert "fleet.targets" in text
