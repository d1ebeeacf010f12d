"""A simulated host for ``wan-exporter --demo``: scripted GPUs and workers under the real engine and collector."""
