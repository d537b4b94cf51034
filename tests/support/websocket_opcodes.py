"""Opcodes of WebSocket frames (RFC 6455, 11.8)."""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
