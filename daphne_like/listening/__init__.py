"""From options and endpoint strings to ports."""
