"""The unit of ``--print-systemd-unit``: notified, watched, and shut in as far as a program with a GPU can be."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from wan_exporter.arguments import DEFAULT_MAX_REQUESTS, DEFAULT_TELEMETRY_PATH
from wan_tui.core.config.settings import Settings

# Beyond the drain: workers that do not end by themselves, and the last writes.
STOPPING_SECONDS = 30

UNIT = """\
# wan-exporter.service, made by: wan-exporter --print-systemd-unit
#   wan-exporter --print-systemd-unit | sudo tee /etc/systemd/system/wan-exporter.service
#   sudo useradd --system --home-dir /var/lib/wan-tui --shell /usr/sbin/nologin wan-tui
#   sudo systemctl daemon-reload && sudo systemctl enable --now wan-exporter
# The control socket is its user's: sudo -u wan-tui env WANTUI_AGENT_SOCKET=/run/wan-tui/agent.sock wan-tui
[Unit]
Description=wan-tui engine and Prometheus exporter
Documentation=man:systemd.exec(5)
Wants=network-online.target
After=network-online.target{after}
{requires}
[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
User=wan-tui
Group=wan-tui
Restart=on-failure
RestartSec=5
WatchdogSec=60
TimeoutStartSec=120
# {drain:g} s for the job that runs, then the workers end.
TimeoutStopSec={stop:g}
# The engine ends its workers itself, after the drain; a worker that the kernel kills for memory is no reason to stop.
KillMode=mixed
OOMPolicy=continue
LimitNOFILE=65536

# Configuration in /etc/wan-tui/wan-tui.toml; models, videos and history in /var/lib/wan-tui.
Environment=XDG_CONFIG_HOME=/etc XDG_DATA_HOME=/var/lib XDG_STATE_HOME=/var/lib XDG_CACHE_HOME=/var/cache
Environment=HOME=/var/lib/wan-tui WANTUI_AGENT_SOCKET=/run/wan-tui/agent.sock
ConfigurationDirectory=wan-tui
StateDirectory=wan-tui
StateDirectoryMode=0700
CacheDirectory=wan-tui
RuntimeDirectory=wan-tui
RuntimeDirectoryMode=0700
UMask=0077
{paths}
# The GPU: its devices and no others. nvidia-uvm must be loaded already (nvidia-persistenced or a udev rule does it).
DevicePolicy=closed
DeviceAllow=char-nvidia rw
DeviceAllow=char-nvidia-frontend rw
DeviceAllow=char-nvidiactl rw
DeviceAllow=char-nvidia-uvm rw
DeviceAllow=char-nvidia-caps rw
DeviceAllow=char-nvidia-nvswitch rw
# Left out on purpose: PrivateDevices= would hide the GPU, MemoryDenyWriteExecute= forbids the code that CUDA and torch
# compile, ProtectProc= would hide who else holds GPU memory.

CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
KeyringMode=private
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap

[Install]
WantedBy=multi-user.target
"""

SOCKET = """
# Saved as wan-exporter.socket, this opens the port, also one below 1024:
#   [Socket]
#   ListenStream=127.0.0.1:12022
#   [Install]
#   WantedBy=sockets.target
"""


def systemd_unit(given: argparse.Namespace, settings: Settings) -> str:
    """The unit that runs what ``given`` says, with access to the folders that the configuration names."""
    drain = settings.agent.drain_seconds if given.drain_timeout is None else given.drain_timeout
    folders = sorted(str(path) for path in _folders(settings))
    under_home = any(Path(folder).is_relative_to("/home") for folder in folders)
    unit = UNIT.format(
        command=" ".join(map(_quoted, _command(given))),
        drain=drain,
        stop=drain + STOPPING_SECONDS,
        after=" wan-exporter.socket" if given.systemd_socket else "",
        requires="Requires=wan-exporter.socket\n" if given.systemd_socket else "",
        paths="".join(f"ReadWritePaths={_quoted('-' + folder)}\n" for folder in folders),
        home="read-only" if under_home else "yes",
    )
    return unit + (SOCKET if given.systemd_socket else "")


def _command(given: argparse.Namespace) -> Iterator[str]:
    program = Path(sys.executable).with_name("wan-exporter")
    yield from (str(program),) if program.exists() else (sys.executable, "-m", "wan_exporter")
    if given.config is not None:
        yield f"--config={given.config.absolute()}"
    yield from web_options(given)


def web_options(given: argparse.Namespace) -> Iterator[str]:
    """The ``--web`` options that were given, as they are written."""
    for address in given.listen or ():
        yield f"--web.listen-address={address}"
    if given.systemd_socket:
        yield "--web.systemd-socket"
    if given.telemetry_path != DEFAULT_TELEMETRY_PATH:
        yield f"--web.telemetry-path={given.telemetry_path}"
    if given.web_config is not None:
        yield f"--web.config.file={given.web_config.absolute()}"
    if given.max_requests != DEFAULT_MAX_REQUESTS:
        yield f"--web.max-requests={given.max_requests}"
    if not given.exporter_metrics:
        yield "--web.disable-exporter-metrics"


def _folders(settings: Settings) -> Iterator[Path]:
    """What is written and lies where the configuration says, which may be anywhere."""
    chosen = settings.paths.model_fields_set
    for name in ("cache", "models", "outputs"):
        if name in chosen:
            yield getattr(settings.paths, name).absolute()
    if "history" in chosen:
        yield settings.paths.history.absolute().parent


def _quoted(text: str) -> str:
    """As systemd reads it: no specifier, no variable, one word."""
    escaped = text.replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if any(character.isspace() or character in "\"'\\;" for character in text) else escaped
