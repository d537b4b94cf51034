"""Side-by-side measurements of daphne_like and its peers: ``python -m benchmarks``.

Time is only ever compared within one run, on one machine; instructions per request
(:mod:`benchmarks.instructions`) do not depend on the machine's load, so a test may hold them.
The package is not installed and imports nothing of ``daphne_like``: each server is a command that
serves :mod:`benchmarks.applications`.
"""
