"""Turns options and endpoint strings into listening ports."""
