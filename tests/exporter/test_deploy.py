"""What is deployed with: the systemd unit, the scrape configuration, the manifests of Kubernetes and the Dockerfile."""

import argparse
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.exporter.certificates import Certificates
from tests.exporter.live import promtool
from tests.exporter.manifests import KUBERNETES, RESOURCE, RULES, prometheus_rule
from wan_exporter.__main__ import main
from wan_exporter.arguments import DEFAULT_MAX_REQUESTS, Address, parser
from wan_exporter.systemd_unit import _quoted, web_options

DEPLOY = KUBERNETES.parent
FLEET = '[fleet]\ntargets = ["render-02:12022", "https://render-03:443"]\n'
# bcrypt of nothing in particular: the form is what matters.
HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


# --- systemd --------------------------------------------------------------------------------------------------------


def unit(text: str) -> dict[str, list[str]]:
    """Key -> its values, of all sections."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if (match := re.fullmatch(r"(\w+)=(.*)", line)) is not None:
            found.setdefault(match[1], []).append(match[2])
    return found


def systemd_analyze(*arguments: str | Path) -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed, so the unit was NOT checked by systemd")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_nothing_in_the_unit_and_little_exposure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wan-exporter.service"
    file.write_text(printed(capsys, "--print-systemd-unit"))
    told = [line for line in systemd_analyze("verify", file).splitlines() if str(file) in line]
    assert told == []
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", systemd_analyze("security", "--offline=yes", file))
    assert exposure is not None
    assert float(exposure[1]) < 2.5, "0 is shut in, 10 is open; a program that sees no device comes to about 1"


def test_the_unit_is_notified_watched_and_sees_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    found = unit(printed(capsys, "--print-systemd-unit"))
    assert found["Type"] == ["notify"]
    assert found["WatchdogSec"] == ["60"]
    assert found["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert found["KillMode"] == ["mixed"], "the engine ends its workers itself"
    assert found["DevicePolicy"] == ["closed"]
    assert {"char-nvidia rw", "char-nvidia-frontend rw", "char-nvidiactl rw", "char-nvidia-uvm rw"} <= set(
        found["DeviceAllow"]
    )
    for hidden in ("PrivateDevices", "MemoryDenyWriteExecute", "ProtectProc", "PrivateNetwork"):
        assert hidden not in found
    # Longer than the drain and the end of the workers, or systemd kills what is being finished.
    assert float(found["TimeoutStopSec"][0]) > 30 + 15


def test_the_unit_runs_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "wan tui.toml"
    config.write_text('[paths]\nmodels = "/data/100% models"\noutputs = "/home/wan/videos"\n')
    text = printed(
        capsys,
        "--print-systemd-unit",
        f"--config={config}",
        "--web.listen-address=[::1]:9000",
        "--web.listen-address=:9001",
        "--web.telemetry-path=/m",
        f"--web.config.file={tmp_path}/web.yml",
        "--web.max-requests=7",
        "--web.disable-exporter-metrics",
        "--drain-timeout=600",
    )
    found = unit(text)
    command = found["ExecStart"][0]
    for option in (f'"--config={config}"', "--web.listen-address=[::1]:9000", "--web.listen-address=:9001"):
        assert option in command
    assert f"--web.config.file={tmp_path}/web.yml --web.max-requests=7 --web.disable-exporter-metrics" in command
    assert found["ReadWritePaths"] == ['"-/data/100%% models"', "-/home/wan/videos"]
    assert found["ProtectHome"] == ["read-only"]
    assert float(found["TimeoutStopSec"][0]) > 600


def test_options_are_written_as_they_were_given() -> None:
    """What the unit starts is parsed to what was given: for each option, and for none."""
    given = [
        *("--web.listen-address=[::1]:9000", "--web.listen-address=127.0.0.1:9001"),
        *("--web.telemetry-path=/m", "--web.config.file=/etc/web.yml", "--web.max-requests=0"),
        "--web.disable-exporter-metrics",
    ]
    assert list(web_options(parser().parse_args(given))) == given
    assert list(web_options(parser().parse_args([]))) == []
    assert parser().parse_args([]).max_requests == DEFAULT_MAX_REQUESTS
    assert str(Address("::1", 1)) == "[::1]:1"


@pytest.mark.parametrize(
    ("word", "written"), [("a", "a"), ("a b", '"a b"'), ('a"b', '"a\\"b"'), ("50%", "50%%"), ("$HOME", "$$HOME")]
)
def test_words_of_a_command_are_systemd_words(word: str, written: str) -> None:
    assert _quoted(word) == written


def test_a_socket_unit_comes_along(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--print-systemd-unit", "--web.systemd-socket")
    assert unit(text)["Requires"] == ["wan-exporter.socket"]
    assert "ListenStream=127.0.0.1:12022" in text


# --- Prometheus -----------------------------------------------------------------------------------------------------


def scrape_job(text: str) -> dict[str, Any]:
    (job,) = yaml.safe_load(text)["scrape_configs"]
    return dict(job)


def test_promtool_accepts_the_scrape_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, file = tmp_path / "wan-tui.toml", tmp_path / "prometheus.yml"
    config.write_text(FLEET)
    file.write_text(printed(capsys, "--print-scrape-config", f"--config={config}"))
    promtool("check", "config", file)
    job = scrape_job(file.read_text())
    assert job["job_name"] == "wantui"
    own, second, third = job["static_configs"]
    assert own == {"targets": ["127.0.0.1:12022"]}
    assert second == {"targets": ["render-02:12022"]}
    assert third == {"targets": ["render-03:443"], "labels": {"__scheme__": "https"}}
    # The alternative that is commented out is a configuration too.
    alternative = re.sub(r"    static_configs:.*?(?=    #)", "", file.read_text(), flags=re.S).replace(
        "    #http", "    http"
    )
    file.write_text(re.sub(r"^    #  ", "      ", alternative, flags=re.M))
    promtool("check", "config", file)
    assert scrape_job(file.read_text())["http_sd_configs"] == [{"url": "http://127.0.0.1:12022/sd"}]


def test_the_scrape_configuration_knows_the_web_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificates = Certificates(tmp_path)
    pair = certificates.server()
    web = tmp_path / "web.yml"
    web.write_text(
        f"tls_server_config: {{cert_file: {pair.certificate}, key_file: {pair.key}, "
        f"client_ca_file: {certificates.authority}, client_auth_type: RequireAndVerifyClientCert}}\n"
        f"basic_auth_users: {{prom: {HASH}}}\n"
    )
    text = printed(
        capsys,
        "--print-scrape-config",
        "--web.listen-address=:9000",
        "--web.telemetry-path=/m",
        f"--web.config.file={web}",
    )
    for name in ("wan-exporter-ca.pem", "client.pem", "client.key", "wan-exporter-password"):
        (tmp_path / name).write_text(pair.certificate.read_text())
        text = text.replace(f"/etc/prometheus/{name}", str(tmp_path / name))
    (tmp_path / "prometheus.yml").write_text(text)
    promtool("check", "config", "--syntax-only", tmp_path / "prometheus.yml")
    job = scrape_job(text)
    assert (job["scheme"], job["metrics_path"]) == ("https", "/m")
    assert job["basic_auth"]["username"] == "prom"
    assert set(job["tls_config"]) == {"ca_file", "cert_file", "key_file"}
    assert not job["static_configs"][0]["targets"][0].startswith((":", "0.0.0.0"))


def test_a_mistake_in_what_is_printed_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-scrape-config", f"--config={tmp_path}/absent.toml"]) == 2
    assert capsys.readouterr().err.startswith("wan-exporter: configuration file")


# --- Kubernetes and the image -----------------------------------------------------------------------------------------


def resource(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((KUBERNETES / f"{name}.yaml").read_text()))


def test_the_prometheus_rule_is_made_from_the_rules(tmp_path: Path) -> None:
    assert RESOURCE.read_text() == prometheus_rule(), "make metrics"
    made = resource("prometheusrule")
    assert (made["apiVersion"], made["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert made["spec"] == yaml.safe_load(RULES.read_text()), "the same groups, rule for rule"
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(made["spec"]))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_the_manifests_point_at_each_other() -> None:
    daemons, service, monitor = resource("daemonset"), resource("service"), resource("servicemonitor")
    assert [one["kind"] for one in (daemons, service, monitor)] == ["DaemonSet", "Service", "ServiceMonitor"]
    labels = daemons["spec"]["template"]["metadata"]["labels"]
    assert daemons["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    (served,) = service["spec"]["ports"]
    assert (served["targetPort"], served["port"]) == (port["name"], port["containerPort"])
    assert monitor["spec"]["endpoints"][0]["port"] == served["name"]
    assert monitor["spec"]["endpoints"][0]["relabelings"][0] == {"targetLabel": "job", "replacement": "wantui"}
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"]
    assert len({one["metadata"]["namespace"] for one in (daemons, service, monitor, resource("prometheusrule"))}) == 1


def test_the_pod_takes_no_rights_and_no_gpu_and_only_known_options() -> None:
    pod = resource("daemonset")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "nvidia.com/gpu" not in {*container["resources"]["limits"], *container["resources"]["requests"]}
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    given: argparse.Namespace = parser().parse_args(container["args"])
    assert given.listen == [Address("", 12022)]
    assert pod["terminationGracePeriodSeconds"] > 30 + 15


def test_the_dockerfile_is_small_unprivileged_and_copies_what_is_there() -> None:
    """hadolint, where it is installed, and the keys that matter in any case."""
    text = (DEPLOY / "Dockerfile").read_text()
    steps = re.findall(r"^([A-Z]+) ", text, re.M)
    assert steps.count("FROM") == 2
    assert not re.search(r":latest\b|\bADD\b|\bsudo\b|apt-get", text)
    assert steps.index("USER") < steps.index("ENTRYPOINT")
    assert re.search(r"^USER \d+:\d+$", text, re.M), "a number: Kubernetes must see that it is not root"
    root = DEPLOY.parents[1]
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M):
        *sources, _target = line.split()
        assert all((root / source).exists() for source in sources), line
    (command,) = re.findall(r'^CMD \["(--[^"]+)"\]$', text, re.M)
    assert parser().parse_args([command]).listen == [Address("", 12022)]
    if (program := shutil.which("hadolint")) is not None:
        done = subprocess.run([program, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
