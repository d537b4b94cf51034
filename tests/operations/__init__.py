"""Figures about restarts, balance and memory of worker processes; see `__main__.py`."""
