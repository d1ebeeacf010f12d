"""The page at ``/``: version, links, and which deployments there are and whether they fit; readable on a phone."""

from collections.abc import Iterable
from html import escape

from wan_tui.core.runtime.state import DeploymentStatus
from wan_tui.core.snapshot import Snapshot

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 64rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8886; padding: .4rem .8rem .4rem 0; text-align: left; vertical-align: top; }
td:first-child { font-weight: bold; overflow-wrap: anywhere; }
@media (max-width: 50rem) {
  thead { display: none; }
  tr { border-bottom: 1px solid #8886; display: block; padding: .6rem 0; }
  td { border: 0; display: inline-block; padding: 0 .8rem 0 0; }
  td:last-child { display: block; }
}
"""

COLUMNS = ("Deployment", "State", "Verdict", "Model", "Profile", "Device", "Reason")


def landing_page(snapshot: Snapshot | None, *, version: str, telemetry_path: str) -> str:
    """The whole page as HTML; everything that comes from the snapshot is escaped."""
    body = f"""<h1>wan-exporter</h1>
<p>Version {escape(version)}. <a href="{escape(telemetry_path)}">Metrics</a> and <a href="/docs">what they mean</a>,
<a href="/-/healthy">health</a>, <a href="/-/ready">readiness</a>, <a href="/sd">targets</a>.</p>
{_status(snapshot)}"""
    return page("wan-exporter", body)


def page(title: str, body: str) -> str:
    """A whole HTML page around ``body``, which is HTML already."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _status(snapshot: Snapshot | None) -> str:
    if snapshot is None:
        return "<p>Nothing is known yet: the first reading is under way.</p>"
    gpus = snapshot.gpus
    hardware = f"{sum(gpu.up for gpu in gpus)} of {len(gpus)} GPUs up" if gpus else "no GPU"
    summary = f"<p>{escape(snapshot.host.hostname)}: {hardware}. Driver: {escape(snapshot.driver.message)}.</p>"
    if not snapshot.deployments:
        return f"{summary}\n<p>No deployment is configured.</p>"
    rows = "\n".join(map(_deployment, snapshot.deployments))
    head = _row("th", COLUMNS)
    return f"{summary}\n<table>\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _deployment(deployment: DeploymentStatus) -> str:
    compatibility = deployment.compatibility
    device = compatibility.plan.device if compatibility.plan is not None else "none"
    reason = deployment.failure or compatibility.reason
    now = (deployment.name, deployment.state, compatibility.verdict)
    return _row("td", (*now, deployment.model, deployment.profile, device, reason))


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
