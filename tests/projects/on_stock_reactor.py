"""`on_stock_reactor.py endpoint module:application [drain_idle]`, on Twisted's asyncio reactor.

As a program that has a reactor of its own embeds the server; the command would install ours.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

from twisted.internet import asyncioreactor

asyncioreactor.install()

from daphne_like.launch.banner import banner  # noqa: E402 # needs the reactor above
from daphne_like.server import Server  # noqa: E402


def ready(server: Server) -> None:
    print(banner(server, "on a stock reactor"), flush=True)


def application(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


logging.basicConfig(level=logging.INFO)
options = {"drain_idle": float(sys.argv[3])} if sys.argv[3:] else {}
server = Server(application(sys.argv[2]), endpoints=[sys.argv[1]], ready_callable=ready, **options)
server.run()
sys.exit(server.exit_status)
