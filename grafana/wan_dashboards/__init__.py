"""Builds everything generated in ``grafana/``: dashboards (Grafana 11.6 or newer) and Grafana-managed alerts.

``make dashboards`` writes the files. They are committed, so nobody needs this to use them; a test builds and compares.
"""
