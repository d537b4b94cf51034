"""TLS workloads: their certificate, their checks, their load, their memory.

All contenders have the same certificate and key, and all clients speak only TLS 1.3.
"""
