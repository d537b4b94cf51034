"""HTTP/2 workloads: their checks, and their load, which h2load makes.

Every client here speaks HTTP/2 only: in clear text by prior knowledge, over TLS 1.3 by ALPN.
"""
