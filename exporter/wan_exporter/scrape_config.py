"""The text of ``--print-scrape-config``: what goes into prometheus.yml so that it scrapes this exporter."""

import argparse
import json
import socket
from collections.abc import Iterator

from wan_exporter.arguments import DEFAULT_TELEMETRY_PATH, Address
from wan_exporter.web_config import PLAIN, WebConfig, load_web_config
from wan_tui.core.config.settings import Settings

HEAD = """\
# A part of prometheus.yml, made by: wan-exporter --print-scrape-config
# The rules and dashboards expect the job to be called wantui. Labels such as host, cluster and env belong here.
scrape_configs:
  - job_name: wantui
    scrape_interval: 15s
    scrape_timeout: 10s
"""

DISCOVERY = """\
    # Instead of static_configs: the same targets, read from the exporter, which knows its fleet ([fleet] targets).
    #http_sd_configs:
    #  - url: {url}
"""


def scrape_config(given: argparse.Namespace, settings: Settings) -> str:
    """For the addresses, the path and the web configuration of ``given``. Raises WanTuiError."""
    web = PLAIN if given.web_config is None else load_web_config(given.web_config)
    listen = given.listen or [Address(settings.exporter.listen_address, settings.exporter.port)]
    own = [str(Address(_reachable(address.host), address.port)) for address in listen]
    return HEAD + "".join(f"{line}\n" for line in _lines(given.telemetry_path, web, own, settings.fleet.targets))


def _lines(path: str, web: WebConfig, own: list[str], fleet: list[str]) -> Iterator[str]:
    scheme = "http" if web.tls is None else "https"
    if path != DEFAULT_TELEMETRY_PATH:
        yield f"    metrics_path: {json.dumps(path)}"
    if web.tls is not None:
        yield "    scheme: https"
        yield "    tls_config:"
        yield "      ca_file: /etc/prometheus/wan-exporter-ca.pem    # who signed the certificate of the exporter"
    if web.tls is not None and web.tls.verify_mode:
        yield "      cert_file: /etc/prometheus/client.pem           # the exporter asks for a client certificate"
        yield "      key_file: /etc/prometheus/client.key"
    if web.users:
        yield "    basic_auth:"
        yield f"      username: {json.dumps(next(iter(web.users)))}"
        yield "      password_file: /etc/prometheus/wan-exporter-password"
    yield "    static_configs:"
    yield f"      - targets: {json.dumps(own)}"
    for target in fleet:
        other, _, address = target.rpartition("://")
        yield f"      - targets: {json.dumps([address])}"
        if (other or "http") != scheme:
            yield f"        labels: {{__scheme__: {other or 'http'}}}"
    yield DISCOVERY.format(url=f"{scheme}://{own[0]}/sd").rstrip()


def _reachable(host: str) -> str:
    """A name for others, of an address that may be every address."""
    return socket.gethostname() if host in ("", "0.0.0.0", "::") else host
