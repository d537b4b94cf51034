"""The command with a `server_class` that has nothing but what Daphne's has."""

from __future__ import annotations

import sys

from daphne_like.launch.command import CommandLineInterface


class Server:
    """Calls `ready_callable` as Daphne does, and knows no exit status."""

    def __init__(self, ready_callable, **settings):
        self.ready_callable = ready_callable

    def run(self):
        self.ready_callable()


class Command(CommandLineInterface):
    server_class = Server


sys.exit(Command().run(sys.argv[1:]))
