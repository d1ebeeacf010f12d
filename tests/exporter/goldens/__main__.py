"""Write every golden scrape anew."""

import sys

from tests.exporter.goldens import SCENARIOS, golden, scrape

for name, snapshot in SCENARIOS.items():
    golden(name).write_text(scrape(snapshot()), encoding="utf-8")
    sys.stdout.write(f"{golden(name)}\n")
