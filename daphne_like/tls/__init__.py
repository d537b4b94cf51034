"""TLS by Python's `ssl`, above any Twisted transport: certificates and connections."""
