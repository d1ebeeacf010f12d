"""``python -m tests.exporter.manifests`` writes the PrometheusRule of Kubernetes from the rules of Prometheus."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = ROOT / "grafana" / "prometheus" / "rules.yml"
KUBERNETES = ROOT / "exporter" / "deploy" / "kubernetes"
RESOURCE = KUBERNETES / "prometheusrule.yaml"

HEAD = """\
# Made from grafana/prometheus/rules.yml by: make metrics. Do not edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: wan-exporter
  namespace: monitoring
  labels:
    app.kubernetes.io/name: wan-exporter
    app.kubernetes.io/part-of: wan-tui
spec:
"""


def prometheus_rule() -> str:
    """The text of the resource: the groups as they are, comments and all, one level further in."""
    lines = RULES.read_text(encoding="utf-8").splitlines()
    begin = lines.index("groups:")
    return HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines[begin:])


if __name__ == "__main__":
    RESOURCE.write_text(prometheus_rule(), encoding="utf-8")
    sys.stdout.write(f"{RESOURCE}\n")
