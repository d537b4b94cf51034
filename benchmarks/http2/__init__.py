"""HTTP/2 workloads: their checks and their load, which h2load makes.

All its clients speak only HTTP/2: in cleartext by prior knowledge, over TLS 1.3 by ALPN.
"""
