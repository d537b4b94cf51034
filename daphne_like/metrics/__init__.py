"""Metrics: counts what happens, adds the counts of workers up, and serves them to Prometheus."""
