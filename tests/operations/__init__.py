"""Measurements of what an operator or a developer waits for; run by hand, printed as tables."""
