"""The connection preface of HTTP/2, which HTTP/1.1 must know, too (RFC 9113, 3.4)."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
