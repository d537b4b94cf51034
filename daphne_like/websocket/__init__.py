"""RFC 6455, 7692: the opening handshake, frames on autobahn's engine, ASGI sessions."""
