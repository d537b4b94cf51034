"""What the ASGI specification says; knows neither sockets nor Twisted."""
