"""WebSocket workloads: their application, their load, their checks, their memory.

The load runs in the peers' interpreter, which has picows; everything else here needs the standard
library only, and speaks RFC 6455 with :mod:`benchmarks.websocket.frames`.
"""
