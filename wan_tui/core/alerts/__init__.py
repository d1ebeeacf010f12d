"""The alerts of grafana/prometheus/rules.yml, evaluated here too: a host without Prometheus has them all the same."""
