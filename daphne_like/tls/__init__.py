"""TLS by Python's own `ssl`, above any Twisted transport: certificates, connections, endpoints."""
