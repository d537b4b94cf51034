"""Observability: access log, refusals, stuck applications, blocked event loop."""
