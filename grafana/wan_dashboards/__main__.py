"""Write the generated files: ``python -m wan_dashboards`` in ``grafana/``."""

from wan_dashboards.files import GRAFANA, files

for name, text in files().items():
    (GRAFANA / name).parent.mkdir(parents=True, exist_ok=True)
    (GRAFANA / name).write_text(text, encoding="utf-8")
