"""The ASGI specification: queues, instances, lifespan, interfaces. No sockets, no Twisted."""
