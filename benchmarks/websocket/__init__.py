"""WebSocket workloads: their application, their load, their checks, their memory.

The load runs in the peers' interpreter, which has picows. All other modules need only the standard
library, and speak RFC 6455 with :mod:`benchmarks.websocket.frames`.
"""
