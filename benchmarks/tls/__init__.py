"""TLS workloads: their certificate, their checks, their load, their memory.

All contenders have the same certificate and key, and every client here speaks TLS 1.3 only.
"""
