"""Side-by-side measurements of daphne_like and its peers: ``python -m benchmarks``.

Times are comparable only within one run, on one machine. Instructions per request
(:mod:`benchmarks.instructions`) do not depend on the machine's load, so a test can check them.
The package is not installed and imports nothing from ``daphne_like``: each server is a command that
serves :mod:`benchmarks.applications`.
"""
