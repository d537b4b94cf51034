"""The process: signals and exit."""
